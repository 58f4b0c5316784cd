// Consumes the events of GREEN-API from Kafka or JetStream. Usage: consume kafka|nats ADDRESS GROUP LEDGER
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"

	"github.com/cloudevents/sdk-go/v2/binding"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

var (
	classes = []string{"incoming", "outgoing", "state", "device", "other"}
	// quicktype makes these types from what `greenapi-bridge schema` prints
	types = map[string]func() any{
		"com.green-api.incomingMessageReceived":    func() any { return new(IncomingMessageReceived) },
		"com.green-api.incomingMessageStatus":      func() any { return new(IncomingMessageStatus) },
		"com.green-api.incomingCall":               func() any { return new(IncomingCall) },
		"com.green-api.incomingBlock":              func() any { return new(IncomingBlock) },
		"com.green-api.outgoingMessageReceived":    func() any { return new(OutgoingMessageReceived) },
		"com.green-api.outgoingAPIMessageReceived": func() any { return new(OutgoingAPIMessageReceived) },
		"com.green-api.outgoingMessageStatus":      func() any { return new(OutgoingMessageStatus) },
		"com.green-api.outgoingCall":               func() any { return new(OutgoingCall) },
		"com.green-api.stateInstanceChanged":       func() any { return new(StateInstanceChanged) },
		"com.green-api.statusInstanceChanged":      func() any { return new(StatusInstanceChanged) },
		"com.green-api.quotaExceeded":              func() any { return new(QuotaExceeded) },
		"com.green-api.deviceInfo":                 func() any { return new(DeviceInfo) },
	}
	ledger string
	done   = map[string]bool{}
)

func appendLine(path string, words ...any) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err = fmt.Fprintln(file, words...); err != nil {
		return err
	}
	return file.Sync()
}

// Yours: whatever must happen once. It keeps the id with its result, so that a repeat is known.
func work(event *cloudevents.Event, notification any) error {
	digest, name := sha256.Sum256(event.Data()), reflect.TypeOf(notification).Elem().Name()
	return appendLine(ledger, event.ID(), event.Extensions()["instance"], fmt.Sprintf("%x", digest), name)
}

// Both brokers carry the attributes in headers, as HTTP does.
func parse(ctx context.Context, headers http.Header, body []byte) (*cloudevents.Event, any, error) {
	event, err := binding.ToEvent(ctx, cehttp.NewMessage(headers, io.NopCloser(bytes.NewReader(body))))
	if err != nil {
		return nil, nil, err
	}
	notification := any(new(Notification))
	if known, found := types[event.Type()]; found {
		notification = known()
	}
	return event, notification, json.Unmarshal(body, notification)
}

func handle(ctx context.Context, headers http.Header, body []byte) error {
	event, notification, err := parse(ctx, headers, body)
	if err != nil { // poison: set aside, because it would come again for ever
		log.Printf("parked: %T", err)
		return appendLine(ledger+".parked", fmt.Sprintf("%x", sha256.Sum256(body)), base64.StdEncoding.EncodeToString(body))
	}
	if done[event.ID()] {
		return nil
	}
	if err := work(event, notification); err != nil {
		return err
	}
	done[event.ID()] = true
	fmt.Println(event.ID(), event.Type())
	return nil
}

func named(format string) (names []string) {
	for _, class := range classes {
		names = append(names, fmt.Sprintf(format, class))
	}
	return names
}

func main() {
	broker, address, group := os.Args[1], os.Args[2], os.Args[3]
	ledger = os.Args[4]
	if about, err := os.Stat(ledger); err == nil && about.Mode().IsRegular() {
		kept, err := os.ReadFile(ledger)
		if err != nil {
			log.Fatal(err)
		}
		for line := range strings.Lines(string(kept)) {
			done[strings.Fields(line)[0]] = true
		}
	}
	// at any moment: what was not committed comes again
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	read := map[string]func(context.Context, string, string) error{"kafka": readKafka, "nats": readNats}[broker]
	if err := read(ctx, address, group); ctx.Err() == nil {
		log.Fatal(err)
	}
}
