package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// readKafka commits each record after its work.
func readKafka(ctx context.Context, address, group string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(),
		kgo.ConsumeTopics(named("greenapi.%s")...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for records := fetches.RecordIter(); !records.Done(); {
			record, headers := records.Next(), http.Header{}
			for _, header := range record.Headers {
				headers.Set(strings.Replace(header.Key, "ce_", "ce-", 1), string(header.Value))
			}
			if err := handle(ctx, headers, record.Value); err != nil {
				return err
			}
			if err := client.CommitRecords(ctx, record); err != nil {
				return err
			}
		}
	}
}
