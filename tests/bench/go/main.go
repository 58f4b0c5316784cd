// The shortest program in Go that parses, publishes and waits for the acknowledgement.
// bench-go nats|kafka ADDRESS SERVER
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"
)

type notification struct {
	TypeWebhook  string `json:"typeWebhook"`
	InstanceData struct {
		IDInstance json.Number `json:"idInstance"`
	} `json:"instanceData"`
}

type publish func(context.Context, notification, []byte) error

func toNats(server string) (publish, error) {
	connection, err := nats.Connect(server)
	if err != nil {
		return nil, err
	}
	stream, err := jetstream.New(connection)
	return func(ctx context.Context, about notification, body []byte) error {
		subject := fmt.Sprintf("greenapi.incoming.%s.%s", about.InstanceData.IDInstance, about.TypeWebhook)
		_, err := stream.Publish(ctx, subject, body)
		return err
	}, err
}

// Acknowledged by all, idempotent and murmur2 are defaults of this client. A linger and compression are too.
func toKafka(server string) (publish, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(server), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	return func(ctx context.Context, about notification, body []byte) error {
		key := []byte(about.InstanceData.IDInstance)
		record := &kgo.Record{Topic: "greenapi.incoming", Key: key, Value: body}
		return client.ProduceSync(ctx, record).FirstErr()
	}, err
}

func main() {
	open := map[string]func(string) (publish, error){"nats": toNats, "kafka": toKafka}[os.Args[1]]
	store, err := open(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(os.Args[2], http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		ctx, cancel := context.WithTimeout(in.Context(), 12*time.Second)
		defer cancel()
		var about notification
		body, err := io.ReadAll(in.Body)
		if err == nil {
			err = json.Unmarshal(body, &about)
		}
		if err == nil {
			err = store(ctx, about, body)
		}
		if err != nil {
			http.Error(out, "{}", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(out, `{"stored":"broker"}`)
	})))
}
