import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.utils.Crc32C;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.common.RequestLocal;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogOffsetsListener;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.RecordValidationException;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.log.VerificationGuard;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

/**
 * Sends record sets, good and bad, through the checks of Kafka's Produce handler and into a real log of its storage layer, and
 * prints what came out: one JSON object {name, topic, apiVersion, records, error, recordErrors, stored} to a line, bytes in
 * base64. `stored` is the max timestamp and CRC that Kafka wrote. Everything is drawn from fixed seeds.
 */
public final class BatchVerdicts {
    private static final long NOW = 1_700_000_000_000L;
    private static final int CRC = 17, ATTRIBUTES = 21, LAST_OFFSET_DELTA = 23, BASE_TIMESTAMP = 27, MAX_TIMESTAMP = 35;
    private static final int PRODUCER_ID = 43, BASE_SEQUENCE = 53, COUNT = 57, RECORDS = 61;
    private static final List<String> VERDICTS = new ArrayList<>();
    private static final KafkaScheduler SCHEDULER = new KafkaScheduler(1);
    private static final ObjectMapper JSON = new ObjectMapper();

    private static final Map<String, String> PLAIN = Map.of();
    private static final Map<String, String> COMPACTED = Map.of("cleanup.policy", "compact");
    private static final Map<String, String> LOG_APPEND_TIME = Map.of("message.timestamp.type", "LogAppendTime");
    private static final Map<String, String> BOUNDED = Map.of(
        "message.timestamp.before.max.ms", "1000", "message.timestamp.after.max.ms", "2000");
    private static final Map<String, String> SMALL = Map.of("max.message.bytes", "100");

    public static void main(String[] args) throws Exception {
        SCHEDULER.startup();
        goodOnes();
        faultyHeaders();
        faultyRecords();
        timestamps();
        keys();
        mutations();
        SCHEDULER.shutdown();
        System.out.println(String.join("\n", VERDICTS));
    }

    private static void goodOnes() throws Exception {
        for (CompressionType codec : CompressionType.values()) {
            verdict("good, " + codec.name, PLAIN, 9, batch(codec, three()));
            verdict("good and compacted, " + codec.name, COMPACTED, 9, batch(codec, three()));
            verdict("good with LogAppendTime, " + codec.name, LOG_APPEND_TIME, 9, batch(codec, three()));
            verdict("before version 7, " + codec.name, PLAIN, 6, batch(codec, three()));
            verdict("wrong max timestamp, " + codec.name, PLAIN, 9, edited(batch(codec, three()), b -> b.putLong(MAX_TIMESTAMP, NOW + 77)));
        }
        verdict("idempotent", PLAIN, 9, bytes(MemoryRecords.withIdempotentRecords(Compression.NONE, 5, (short) 0, 0, three())));
    }

    private static void faultyHeaders() throws Exception {
        byte[] good = batch(CompressionType.NONE, three());
        verdict("empty", PLAIN, 9, new byte[0]);
        for (int length : new int[] {1, 11, 12, 16, 17, 60, 61, good.length - 1}) {
            verdict("cut to " + length + " bytes", PLAIN, 9, java.util.Arrays.copyOf(good, length));
        }
        for (int length : new int[] {-1, 0, 13, 14, 48, 49, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            verdict("batch length " + length, PLAIN, 9, edited(good, b -> b.putInt(8, length)));
        }
        for (int magic : new int[] {-1, 0, 1, 3, 127}) {
            verdict("magic " + magic, PLAIN, 9, edited(good, b -> b.put(16, (byte) magic)));
        }
        verdict("two batches", PLAIN, 9, joined(good, good));
        verdict("a batch of zstd and another, version 6", PLAIN, 6, joined(batch(CompressionType.ZSTD, three()), good));
        verdict("bytes behind the batch", PLAIN, 9, joined(good, new byte[5]));
        verdict("base offset 1", PLAIN, 9, edited(good, b -> b.putLong(0, 1)));
        verdict("base offset -1", PLAIN, 9, edited(good, b -> b.putLong(0, -1)));
        verdict("too large", SMALL, 9, good);
        verdict("too large with a wrong CRC", SMALL, 9, flipped(good, CRC));
        verdict("base offset 1 and too large", SMALL, 9, edited(good, b -> b.putLong(0, 1)));
        verdict("wrong CRC", PLAIN, 9, flipped(good, CRC));
        verdict("changed after the CRC", PLAIN, 9, flipped(good, good.length - 1));
        verdict("wrong CRC and no records", PLAIN, 9, flipped(edited(good, b -> b.putInt(COUNT, 0)), CRC));
        for (int count : new int[] {0, -1, 2, 4, Integer.MAX_VALUE}) {
            verdict("count " + count, PLAIN, 9, edited(good, b -> b.putInt(COUNT, count)));
            verdict("count and offsets of " + count, PLAIN, 9, edited(good, b -> b.putInt(COUNT, count).putInt(LAST_OFFSET_DELTA, count - 1)));
        }
        for (int delta : new int[] {-1, 0, 1, 3, Integer.MIN_VALUE}) {
            verdict("last offset delta " + delta, PLAIN, 9, edited(good, b -> b.putInt(LAST_OFFSET_DELTA, delta)));
        }
        for (int codec : new int[] {5, 6, 7}) {
            verdict("codec " + codec, PLAIN, 9, edited(good, b -> b.putShort(ATTRIBUTES, (short) codec)));
        }
        verdict("control batch", PLAIN, 9, edited(good, b -> b.putShort(ATTRIBUTES, (short) 0x20)));
        verdict("unused attribute bits", PLAIN, 9, edited(good, b -> b.putShort(ATTRIBUTES, (short) 0x7f80)));
        verdict("producer without sequence", PLAIN, 9, edited(good, b -> b.putLong(PRODUCER_ID, 7)));
        verdict("sequence without producer", PLAIN, 9, edited(good, b -> b.putInt(BASE_SEQUENCE, 7)));
        verdict("producer id -2", PLAIN, 9, edited(good, b -> b.putLong(PRODUCER_ID, -2)));
    }

    private static void faultyRecords() throws Exception {
        byte[] one = batch(CompressionType.NONE, new SimpleRecord(NOW, "k".getBytes(), "v".getBytes()));
        for (int at = RECORDS; at < one.length; at++) {
            for (int value : new int[] {0x00, 0x01, 0x03, 0x7f, 0x80, 0xff}) {
                int position = at;
                verdict("record byte " + (at - RECORDS) + " set to " + value, PLAIN, 9, edited(one, b -> b.put(position, (byte) value)));
            }
        }
        for (CompressionType codec : CompressionType.values()) {
            if (codec == CompressionType.NONE) continue;
            byte[] good = batch(codec, three());
            byte[] garbage = edited(good, b -> { for (int i = RECORDS; i < b.limit(); i++) b.put(i, (byte) 0x5a); });
            verdict("garbage said to be " + codec.name, COMPACTED, 9, garbage);
            verdict("half of it, " + codec.name, COMPACTED, 9, cut(good, (good.length - RECORDS) / 2));
        }
    }

    private static void timestamps() throws Exception {
        for (CompressionType codec : new CompressionType[] {CompressionType.NONE, CompressionType.GZIP}) {
            for (long offset : new long[] {-1001, -1000, 0, 2000, 2001}) {
                verdict("time " + offset + " within -1000..2000, " + codec.name, BOUNDED, 9, batch(codec, at(NOW + offset)));
            }
            verdict("all early, " + codec.name, BOUNDED, 9, batch(codec, at(NOW - 1001), at(NOW - 1002)));
            verdict("no timestamp, " + codec.name, BOUNDED, 9, batch(codec, at(-1)));
            verdict("one hour and a millisecond ahead, " + codec.name, PLAIN, 9, batch(codec, at(NOW), at(NOW + 3_600_001)));
            verdict("an hour ahead, " + codec.name, PLAIN, 9, batch(codec, at(NOW), at(NOW + 3_600_000)));
            verdict("second late, no key, " + codec.name, Map.of("cleanup.policy", "compact", "message.timestamp.after.max.ms", "5"), 9,
                batch(codec, new SimpleRecord(NOW, "v".getBytes()), new SimpleRecord(NOW + 6, "k".getBytes(), "v".getBytes())));
            verdict("epoch, " + codec.name, PLAIN, 9, batch(codec, at(0)));
            byte[] dated = edited(batch(codec, at(NOW)), b -> b.putShort(ATTRIBUTES, (short) (b.getShort(ATTRIBUTES) | 8)));
            verdict("LogAppendTime from the producer, " + codec.name, PLAIN, 9, dated);
            verdict("LogAppendTime from the producer to such a topic, " + codec.name, LOG_APPEND_TIME, 9, dated);
            verdict("far away with LogAppendTime, " + codec.name, LOG_APPEND_TIME, 9, batch(codec, at(NOW * 100)));
        }
        verdict("negative timestamp", PLAIN, 9, edited(batch(CompressionType.NONE, at(NOW)), b -> b.putLong(BASE_TIMESTAMP, -5)));
        verdict("largest timestamp", PLAIN, 9, edited(batch(CompressionType.NONE, at(NOW)), b -> b.putLong(BASE_TIMESTAMP, Long.MAX_VALUE)));
    }

    private static void keys() throws Exception {
        for (CompressionType codec : CompressionType.values()) {
            SimpleRecord[] records = {new SimpleRecord(NOW, "a".getBytes()), at(NOW), new SimpleRecord(NOW, "b".getBytes())};
            verdict("two without key, compacted, " + codec.name, COMPACTED, 9, batch(codec, records));
            verdict("two without key, " + codec.name, PLAIN, 9, batch(codec, records));
        }
    }

    /** Single bytes changed anywhere behind the batch length, with the CRC made right again. */
    private static void mutations() throws Exception {
        Random random = new Random(42);
        Header[] headers = {new RecordHeader("h", "x".getBytes()), new RecordHeader("null", (byte[]) null)};
        byte[] good = batch(CompressionType.NONE, new SimpleRecord(NOW, null, "v".getBytes(), headers), at(NOW + 1));
        for (int i = 0; i < 250; i++) {
            int position = i % 2 == 0 ? RECORDS + random.nextInt(good.length - RECORDS) : ATTRIBUTES + random.nextInt(RECORDS - ATTRIBUTES);
            byte value = (byte) random.nextInt(256);
            verdict("mutation " + i, i % 3 == 0 ? COMPACTED : PLAIN, 9, edited(good, b -> b.put(position, value)));
        }
    }

    private static SimpleRecord at(long timestamp) {
        return new SimpleRecord(timestamp, "k".getBytes(), "v".getBytes());
    }

    private static SimpleRecord[] three() {
        return new SimpleRecord[] {at(NOW - 2), at(NOW), at(NOW - 1)};
    }

    private static byte[] batch(CompressionType codec, SimpleRecord... records) {
        return bytes(MemoryRecords.withRecords(Compression.of(codec).build(), records));
    }

    private static byte[] bytes(MemoryRecords records) {
        byte[] bytes = new byte[records.sizeInBytes()];
        records.buffer().duplicate().get(bytes);
        return bytes;
    }

    /** A copy, edited, with the CRC that fits it. */
    private static byte[] edited(byte[] batch, Consumer<ByteBuffer> edit) {
        byte[] copy = batch.clone();
        ByteBuffer buffer = ByteBuffer.wrap(copy);
        edit.accept(buffer);
        buffer.putInt(CRC, (int) Crc32C.compute(copy, ATTRIBUTES, copy.length - ATTRIBUTES));
        return copy;
    }

    private static byte[] cut(byte[] batch, int bytes) {
        byte[] copy = java.util.Arrays.copyOf(batch, batch.length - bytes);
        return edited(copy, b -> b.putInt(8, copy.length - 12));
    }

    private static byte[] flipped(byte[] batch, int position) {
        byte[] copy = batch.clone();
        copy[position] ^= 0x10;
        return copy;
    }

    private static byte[] joined(byte[] first, byte[] second) {
        return ByteBuffer.allocate(first.length + second.length).put(first).put(second).array();
    }

    private static void verdict(String name, Map<String, String> topic, int apiVersion, byte[] records) throws Exception {
        Map<String, Object> verdict = new LinkedHashMap<>();
        verdict.put("name", name);
        verdict.put("topic", topic);
        verdict.put("apiVersion", apiVersion);
        verdict.put("records", Base64.getEncoder().encodeToString(records));
        ByteBuffer appended = ByteBuffer.wrap(records.clone());
        Errors error = Errors.NONE;
        List<Integer> recordErrors = new ArrayList<>();
        try {
            MemoryRecords set = MemoryRecords.readableRecords(appended);
            ProduceRequest.validateRecords((short) apiVersion, set);
            append(topic, set);
            verdict.put("stored", new long[] {appended.getLong(MAX_TIMESTAMP), appended.getInt(CRC) & 0xffffffffL});
        } catch (RecordValidationException e) {
            error = Errors.forException(e.invalidException());
            e.recordErrors().forEach(recordError -> recordErrors.add(recordError.batchIndex));
        } catch (Throwable e) {
            error = Errors.forException(e);
        }
        verdict.put("error", error.name());
        verdict.put("recordErrors", recordErrors);
        VERDICTS.add(JSON.writeValueAsString(verdict));
    }

    private static void append(Map<String, String> topic, MemoryRecords records) throws Exception {
        File directory = new File(Files.createTempDirectory("verdicts").toFile(), "topic-0");
        directory.mkdirs();
        UnifiedLog log = UnifiedLog.create(directory, new LogConfig(topic), 0, 0, SCHEDULER, new BrokerTopicStats(), new FixedTime(),
            3_600_000, new ProducerStateManagerConfig(86_400_000, false), 600_000, new LogDirFailureChannel(1), true, Optional.empty());
        try {
            log.appendAsLeader(records, 0, AppendOrigin.CLIENT, RequestLocal.noCaching(), VerificationGuard.SENTINEL, (short) 0);
        } finally {
            log.close();
            try (var files = Files.walk(directory.getParentFile().toPath())) {
                files.sorted(java.util.Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
            }
        }
    }

    private static final class FixedTime implements Time {
        @Override
        public long milliseconds() {
            return NOW;
        }

        @Override
        public long nanoseconds() {
            return NOW * 1_000_000;
        }

        @Override
        public void sleep(long ms) {
        }

        @Override
        public void waitObject(Object object, Supplier<Boolean> condition, long deadlineMs) {
        }
    }
}
