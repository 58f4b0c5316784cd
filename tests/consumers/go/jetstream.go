package main

import (
	"context"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// readNats acknowledges each message after its work.
func readNats(ctx context.Context, address, group string) error {
	connection, err := nats.Connect(address)
	if err != nil {
		return err
	}
	defer connection.Close()
	stream, err := jetstream.New(connection)
	if err != nil {
		return err
	}
	// One unacknowledged message at a time keeps the order, also when this ends in the middle or shares its work.
	consumer, err := stream.CreateOrUpdateConsumer(ctx, "GREENAPI", jetstream.ConsumerConfig{
		Durable: group, MaxAckPending: 1, AckWait: 5 * time.Second, FilterSubjects: named("greenapi.%s.>"),
	}) // must exceed the slowest work
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, messages.Stop)
	for {
		message, err := messages.Next()
		if err != nil {
			return err
		}
		headers := http.Header{}
		for name := range message.Headers() {
			headers.Set(name, message.Headers().Get(name))
		}
		headers.Del("ce-datacontenttype") // HTTP has it as content-type, which is there too
		if err := handle(ctx, headers, message.Data()); err != nil {
			return err
		}
		if err := message.DoubleAck(ctx); err != nil {
			return err
		}
	}
}
