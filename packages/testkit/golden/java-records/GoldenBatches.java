import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.utils.BufferSupplier;

/**
 * Prints record batches as Kafka's own library writes them, each with what that library reads out of it: one JSON
 * object {name, batch, header, offsetOfMaxTimestamp, records} to a line, bytes in base64. Everything is drawn from a fixed seed, so that two runs print the same.
 */
public final class GoldenBatches {
    private static final long TIME = 1_700_000_000_000L;
    private static final Base64.Encoder BASE64 = Base64.getEncoder();
    private static final List<String> GOLDEN = new ArrayList<>();

    public static void main(String[] args) throws Exception {
        for (CompressionType codec : CompressionType.values()) {
            Compression compression = Compression.of(codec).build();
            add("one record, " + codec.name, MemoryRecords.withRecords(compression, record(TIME, "key", "value")));
            add("nulls and empty, " + codec.name, MemoryRecords.withRecords(123_456_789_012L, compression,
                record(TIME, null, "value"), record(TIME, "key", null), record(TIME, null, null), record(TIME, "", "")));
            add("headers, " + codec.name, MemoryRecords.withRecords(compression, withHeaders()));
            add("producer, " + codec.name, MemoryRecords.withIdempotentRecords(
                7, compression, 1L << 40, (short) 3, Integer.MAX_VALUE, 11, many(3)));
            add("transactional, " + codec.name, MemoryRecords.withTransactionalRecords(
                9, compression, 4711, (short) 0, 5, 12, many(2)));
            add("log append time, " + codec.name, logAppendTime(compression));
            add("three hundred records, " + codec.name, MemoryRecords.withRecords(compression, many(300)));
        }
        Random random = new Random(1);
        byte[] noise = new byte[1500];
        random.nextBytes(noise);
        add("noise, snappy", MemoryRecords.withRecords(Compression.snappy().build(), new SimpleRecord(TIME, noise)));
        add("noise, lz4", MemoryRecords.withRecords(Compression.lz4().build(), new SimpleRecord(TIME, noise)));
        byte[] zeros = new byte[300_000];
        for (CompressionType codec : CompressionType.values()) {
            if (codec != CompressionType.NONE) {
                add("long runs, " + codec.name, MemoryRecords.withRecords(Compression.of(codec).build(), new SimpleRecord(TIME, zeros)));
            }
        }
        add("zstd level 22", MemoryRecords.withRecords(Compression.zstd().level(22).build(), many(50)));
        add("timestamps in any order", MemoryRecords.withRecords(Compression.NONE,
            record(TIME + 5, "a", "1"), record(TIME - 86_400_000L * 365, "b", "2"), record(0, "c", "3"), record(TIME * 2, "d", "4")));
        add("no timestamp", MemoryRecords.withRecords(Compression.NONE, record(RecordBatch.NO_TIMESTAMP, "a", "1")));
        add("commit marker", MemoryRecords.withEndTransactionMarker(
            55, TIME, 3, 4711, (short) 2, new EndTransactionMarker(ControlRecordType.COMMIT, 17)));
        add("abort marker", MemoryRecords.withEndTransactionMarker(
            56, TIME, 3, 4711, (short) 2, new EndTransactionMarker(ControlRecordType.ABORT, 18)));
        ByteBuffer empty = ByteBuffer.allocate(DefaultRecordBatch.RECORD_BATCH_OVERHEAD);
        DefaultRecordBatch.writeEmptyHeader(
            empty, RecordBatch.MAGIC_VALUE_V2, 4711, (short) 1, 8, 100, 109, 4, TimestampType.CREATE_TIME, TIME, false, false);
        empty.flip();
        add("empty after compaction", MemoryRecords.readableRecords(empty));
        System.out.println(String.join("\n", GOLDEN));
    }

    private static MemoryRecords logAppendTime(Compression compression) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(
            ByteBuffer.allocate(1000), RecordBatch.MAGIC_VALUE_V2, compression, TimestampType.LOG_APPEND_TIME, 1, TIME + 500);
        for (SimpleRecord record : many(4)) builder.append(record);
        return builder.build();
    }

    private static SimpleRecord record(long timestamp, String key, String value) {
        return new SimpleRecord(timestamp, bytes(key), bytes(value));
    }

    private static SimpleRecord[] many(int count) {
        SimpleRecord[] records = new SimpleRecord[count];
        for (int i = 0; i < count; i++) records[i] = record(TIME + i, i % 5 == 0 ? null : "key-" + i, "message-" + i);
        return records;
    }

    private static SimpleRecord[] withHeaders() {
        Header[] headers = {
            new RecordHeader("trace", bytes("abc")), new RecordHeader("trace", bytes("")),
            new RecordHeader("", bytes("nameless")), new RecordHeader("größe", (byte[]) null)};
        return new SimpleRecord[] {
            new SimpleRecord(TIME, bytes("k"), bytes("v"), headers), record(TIME + 1, "k", "no headers")};
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    private static void add(String name, MemoryRecords records) throws Exception {
        ByteBuffer buffer = records.buffer();
        byte[] raw = new byte[buffer.remaining()];
        buffer.duplicate().get(raw);
        MutableRecordBatch batch = records.batches().iterator().next();
        Map<String, Object> header = new LinkedHashMap<>();
        header.put("baseOffset", batch.baseOffset());
        header.put("lastOffset", batch.lastOffset());
        header.put("nextOffset", batch.nextOffset());
        header.put("partitionLeaderEpoch", batch.partitionLeaderEpoch());
        header.put("crc", batch.checksum());
        header.put("codec", batch.compressionType().name);
        header.put("timestampType", batch.timestampType().name);
        header.put("baseTimestamp", ((DefaultRecordBatch) batch).baseTimestamp());
        header.put("maxTimestamp", batch.maxTimestamp());
        header.put("producerId", String.valueOf(batch.producerId()));
        header.put("producerEpoch", batch.producerEpoch());
        header.put("baseSequence", batch.baseSequence());
        header.put("lastSequence", batch.lastSequence());
        header.put("recordCount", batch.countOrNull());
        header.put("isTransactional", batch.isTransactional());
        header.put("isControl", batch.isControlBatch());
        header.put("sizeInBytes", batch.sizeInBytes());
        List<Object> decoded = new ArrayList<>();
        batch.streamingIterator(BufferSupplier.NO_CACHING).forEachRemaining(record -> decoded.add(describe(record)));
        Map<String, Object> golden = new LinkedHashMap<>();
        golden.put("name", name);
        golden.put("batch", BASE64.encodeToString(raw));
        golden.put("header", header);
        golden.put("offsetOfMaxTimestamp", batch.offsetOfMaxTimestamp().orElse(null));
        golden.put("records", decoded.size() > 10 ? decoded.subList(decoded.size() - 3, decoded.size()) : decoded);
        GOLDEN.add(new ObjectMapper().writeValueAsString(golden));
    }

    /** Long values are given by their length alone. */
    private static List<Object> describe(Record record) {
        List<Object> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            headers.add(new String[] {header.key(), header.value() == null ? null : BASE64.encodeToString(header.value())});
        }
        List<Object> fields = new ArrayList<>();
        fields.add(record.offset());
        fields.add(record.timestamp());
        fields.add(base64(record.key()));
        fields.add(record.valueSize() > 1000 ? record.valueSize() : base64(record.value()));
        fields.add(headers);
        return fields;
    }

    private static String base64(ByteBuffer bytes) {
        return bytes == null ? null : StandardCharsets.ISO_8859_1.decode(BASE64.encode(bytes)).toString();
    }
}
