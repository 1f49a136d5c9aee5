// The client program of the e2e suite on franz-go; see clients.e2e.ts for what goes in and out.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const absent = "~"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if os.Args[1] == "produce" {
		err = produce(ctx, os.Args[2], os.Args[3], strings.Split(os.Args[4], ","), os.Args[5])
	} else {
		var count int
		if count, err = strconv.Atoi(os.Args[5]); err == nil {
			rack := ""
			if len(os.Args) > 6 {
				rack = os.Args[6]
			}
			err = consume(ctx, os.Args[2], os.Args[3], os.Args[4], count, rack)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	default:
		return kgo.NoCompression()
	}
}

func produce(ctx context.Context, bootstrap, topic string, codecs []string, idempotence string) error {
	var lines [][]string
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 8<<20)
	for in.Scan() {
		lines = append(lines, strings.Split(in.Text(), "\t"))
	}
	for _, name := range codecs {
		options := []kgo.Opt{
			kgo.SeedBrokers(strings.Split(bootstrap, ",")...),
			kgo.ProducerBatchCompression(codec(name)),
			kgo.AllowAutoTopicCreation(),
		}
		if idempotence == "off" {
			options = append(options, kgo.DisableIdempotentWrite())
		}
		client, err := kgo.NewClient(options...)
		if err != nil {
			return err
		}
		records := make([]*kgo.Record, len(lines))
		for i, line := range lines {
			records[i] = &kgo.Record{Topic: topic, Key: decode(line[0]), Value: decode(line[1]), Headers: headers(line[2])}
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
		for i, record := range records {
			fmt.Printf("%s\t%d\t%d\t%d\n", name, i, record.Partition, record.Offset)
		}
		client.Close()
	}
	return in.Err()
}

func consume(ctx context.Context, bootstrap, topic, group string, count int, rack string) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(bootstrap, ",")...),
		kgo.ConsumerGroup(group),
		kgo.Rack(rack),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	for read := 0; read < count; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %d of %d: %w", read, count, err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			pairs := make([]string, len(record.Headers))
			for i, header := range record.Headers {
				pairs[i] = header.Key + ":" + encode(header.Value)
			}
			fmt.Fprintf(out, "%d\t%d\t%s\t%s\t%s\n",
				record.Partition, record.Offset, encode(record.Key), encode(record.Value), strings.Join(pairs, ","))
			read++
		})
	}
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		return err
	}
	client.Close()
	return out.Flush()
}

func decode(field string) []byte {
	if field == absent {
		return nil
	}
	bytes, err := base64.StdEncoding.DecodeString(field)
	if err != nil {
		panic(err)
	}
	return bytes
}

func encode(bytes []byte) string {
	if bytes == nil {
		return absent
	}
	return base64.StdEncoding.EncodeToString(bytes)
}

func headers(field string) []kgo.RecordHeader {
	var headers []kgo.RecordHeader
	for _, pair := range strings.Split(field, ",") {
		if name, value, found := strings.Cut(pair, ":"); found {
			headers = append(headers, kgo.RecordHeader{Key: name, Value: decode(value)})
		}
	}
	return headers
}
