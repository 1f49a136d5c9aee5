import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The client program of the e2e suite, see clients.e2e.ts for what goes in and out. One source for every version of kafka-clients. */
public final class RoundTrip {
    private static final String ABSENT = "~";

    public static void main(String[] args) throws Exception {
        if (args[0].equals("produce")) produce(args[1], args[2], args[3].split(","), args[4]);
        else consume(args[1], args[2], args[3], Integer.parseInt(args[4]), args.length > 5 ? args[5] : "");
    }

    private static void produce(String bootstrap, String topic, String[] codecs, String idempotence) throws Exception {
        List<String[]> lines = new ArrayList<>();
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) lines.add(line.split("\t", -1));
        }
        PrintStream out = new PrintStream(System.out, false);
        for (String codec : codecs) {
            Properties settings = new Properties();
            settings.put("bootstrap.servers", bootstrap);
            settings.put("compression.type", codec);
            if (!idempotence.equals("default")) settings.put("enable.idempotence", idempotence.equals("on"));
            try (KafkaProducer<byte[], byte[]> producer =
                    new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
                List<Future<RecordMetadata>> sent = new ArrayList<>();
                for (String[] line : lines) {
                    sent.add(producer.send(
                        new ProducerRecord<>(topic, null, decode(line[0]), decode(line[1]), headers(line[2]))));
                }
                for (int index = 0; index < sent.size(); index++) {
                    RecordMetadata at = sent.get(index).get();
                    out.println(codec + "\t" + index + "\t" + at.partition() + "\t" + at.offset());
                }
            }
        }
        out.flush();
    }

    private static void consume(String bootstrap, String topic, String group, int count, String rack) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        settings.put("client.rack", rack);
        PrintStream out = new PrintStream(System.out, false);
        long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(topic));
            int read = 0;
            while (read < count) {
                if (System.nanoTime() > deadline) throw new IllegalStateException("read " + read + " of " + count + " in 60 s");
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    out.println(record.partition() + "\t" + record.offset() + "\t" + encode(record.key()) + "\t"
                        + encode(record.value()) + "\t" + text(record.headers()));
                    read++;
                }
            }
        }
        out.flush();
    }

    private static byte[] decode(String field) {
        return field.equals(ABSENT) ? null : Base64.getDecoder().decode(field);
    }

    private static String encode(byte[] bytes) {
        return bytes == null ? ABSENT : Base64.getEncoder().encodeToString(bytes);
    }

    private static Headers headers(String field) {
        Headers headers = new RecordHeaders();
        for (String pair : field.split(",")) {
            if (pair.isEmpty()) continue;
            int colon = pair.indexOf(':');
            headers.add(pair.substring(0, colon), decode(pair.substring(colon + 1)));
        }
        return headers;
    }

    private static String text(Headers headers) {
        List<String> pairs = new ArrayList<>();
        for (Header header : headers) pairs.add(header.key() + ":" + encode(header.value()));
        return String.join(",", pairs);
    }
}
