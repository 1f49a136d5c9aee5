import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.AbstractCollection;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;

/**
 * Prints messages as Kafka's own generated classes serialize them: one line per message, `apiKey version kind hex`, where the kind is
 * request, response, requestHeader or responseHeader. Which fields a version has is asked of the schemas in the jar; their values are
 * drawn from a generator with a fixed seed, so two runs print the same. Arguments: `apiKey:lowest-highest` for each API.
 */
public final class GoldenMessages {
    /** How the values of one message are chosen. */
    private enum Filling { DEFAULTS, EMPTY, FULL, RANDOM }

    private static final List<Filling> FILLINGS = List.of(
        Filling.DEFAULTS, Filling.EMPTY, Filling.FULL, Filling.RANDOM, Filling.RANDOM, Filling.RANDOM, Filling.RANDOM, Filling.RANDOM);

    /** Offsets stay below what a JavaScript number holds exactly. */
    private static final long LARGEST_OFFSET = (1L << 53) - 2;

    private final Random random;
    private final Filling filling;

    private GoldenMessages(long seed, Filling filling) {
        this.random = new Random(seed);
        this.filling = filling;
    }

    public static void main(String[] args) throws Exception {
        for (String arg : args) {
            String[] parts = arg.split("[:-]");
            ApiMessageType api = ApiMessageType.fromApiKey(Short.parseShort(parts[0]));
            int lowest = Math.max(Integer.parseInt(parts[1]), api.lowestSupportedVersion());
            int highest = Math.min(Integer.parseInt(parts[2]), api.highestSupportedVersion(true));
            for (int version = lowest; version <= highest; version++) {
                print(api, (short) version);
            }
        }
    }

    private static void print(ApiMessageType api, short version) throws Exception {
        short headerVersion = api.requestHeaderVersion(version);
        RequestHeaderData requestHeader = new RequestHeaderData()
            .setRequestApiKey(api.apiKey())
            .setRequestApiVersion(version)
            .setCorrelationId(0x01020304)
            .setClientId(version % 2 == 0 ? "clïent" : null);
        print(api, version, "requestHeader", requestHeader, headerVersion);
        ResponseHeaderData responseHeader = new ResponseHeaderData().setCorrelationId(0x01020304);
        print(api, version, "responseHeader", responseHeader, api.responseHeaderVersion(version));
        for (int index = 0; index < FILLINGS.size(); index++) {
            long seed = ((api.apiKey() * 1000L) + version) * 1000L + index;
            GoldenMessages source = new GoldenMessages(seed, FILLINGS.get(index));
            ApiMessage request = api.newRequest();
            source.fill(request, api.requestSchemas()[version]);
            print(api, version, "request", request, version);
            ApiMessage response = api.newResponse();
            source.fill(response, api.responseSchemas()[version]);
            print(api, version, "response", response, version);
        }
    }

    private static void print(ApiMessageType api, short version, String kind, ApiMessage message, short messageVersion) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, messageVersion));
        message.write(new ByteBufferAccessor(buffer), cache, messageVersion);
        if (buffer.hasRemaining()) throw new IllegalStateException(kind + " of " + api + " is shorter than its size");
        StringBuilder hex = new StringBuilder();
        for (byte each : buffer.array()) hex.append(Character.forDigit((each >> 4) & 15, 16)).append(Character.forDigit(each & 15, 16));
        System.out.println(api.apiKey() + " " + version + " " + kind + " " + hex);
    }

    private void fill(Object message, Schema schema) throws Exception {
        if (filling == Filling.DEFAULTS) return;
        Map<String, Field> fields = fieldsBySchemaName(message.getClass());
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields) {
                for (org.apache.kafka.common.protocol.types.Field tagged : taggedFields((TaggedFields) bound.def.type).values()) {
                    boolean isSent = filling == Filling.FULL || (filling == Filling.RANDOM && random.nextBoolean());
                    if (isSent) set(message, fields, tagged);
                }
            } else {
                set(message, fields, bound.def);
            }
        }
    }

    private void set(Object message, Map<String, Field> fields, org.apache.kafka.common.protocol.types.Field definition) throws Exception {
        Field field = fields.get(definition.name);
        if (field == null) throw new IllegalStateException(message.getClass() + " lacks " + definition.name);
        // Schemas of Kafka 3.9 do not tell that a struct may be null; its default then does.
        boolean isNullable = definition.type.isNullable() || (definition.type instanceof Schema && field.get(message) == null);
        boolean isNull = filling == Filling.EMPTY || (filling == Filling.RANDOM && random.nextInt(4) == 0);
        field.set(message, isNullable && isNull ? null : value(definition.type, field.getGenericType(), definition.name));
    }

    private Object value(org.apache.kafka.common.protocol.types.Type type, Type javaType, String name) throws Exception {
        if (type.arrayElementType().isPresent()) return list(type.arrayElementType().get(), javaType, name);
        if (javaType == boolean.class) return random.nextBoolean();
        if (javaType == byte.class) return (byte) random.nextInt();
        if (javaType == short.class || javaType == Short.class) return (short) random.nextInt();
        if (javaType == int.class || javaType == Integer.class) return random.nextInt(3) == 0 ? random.nextInt(100) - 50 : random.nextInt();
        if (javaType == long.class || javaType == Long.class) return int64(name);
        if (javaType == double.class) return random.nextGaussian() * 1e9;
        if (javaType == String.class) return text();
        if (javaType == Uuid.class) return new Uuid(random.nextLong(), random.nextLong());
        if (javaType == byte[].class) return bytes();
        if (javaType == ByteBuffer.class) return ByteBuffer.wrap(bytes());
        Class<?> javaClass = (Class<?>) javaType;
        if (javaClass.getSimpleName().equals("BaseRecords")) {
            Class<?> records = Class.forName(javaClass.getPackageName() + ".MemoryRecords");
            return records.getMethod("readableRecords", ByteBuffer.class).invoke(null, ByteBuffer.wrap(bytes()));
        }
        return struct((Schema) type, javaClass);
    }

    private Object struct(Schema schema, Class<?> javaClass) throws Exception {
        Constructor<?> constructor = javaClass.getDeclaredConstructor();
        constructor.setAccessible(true);
        Object struct = constructor.newInstance();
        fill(struct, schema);
        return struct;
    }

    private Object list(org.apache.kafka.common.protocol.types.Type element, Type javaType, String name) throws Exception {
        int count = filling == Filling.EMPTY ? 0 : filling == Filling.FULL ? 2 : random.nextInt(10) == 0 ? 130 : random.nextInt(4);
        if (element instanceof Schema) count = Math.min(count, 3);
        Collection<Object> list;
        Type elementType;
        if (javaType instanceof ParameterizedType) {
            list = new ArrayList<>();
            elementType = ((ParameterizedType) javaType).getActualTypeArguments()[0];
        } else {
            list = keyedCollection((Class<?>) javaType);
            elementType = ((ParameterizedType) ((Class<?>) javaType).getGenericSuperclass()).getActualTypeArguments()[0];
        }
        for (int index = 0; index < count; index++) list.add(value(element, elementType, name));
        return list;
    }

    @SuppressWarnings("unchecked")
    private static Collection<Object> keyedCollection(Class<?> type) throws Exception {
        return (AbstractCollection<Object>) type.getDeclaredConstructor().newInstance();
    }

    private long int64(String name) {
        boolean isOffset = (name.contains("offset") && !name.equals("committed_offset")) || name.endsWith("watermark");
        if (isOffset) return random.nextInt(4) == 0 ? -1 - random.nextInt(5) : (random.nextLong() >>> 1) % LARGEST_OFFSET;
        switch (random.nextInt(6)) {
            case 0: return Long.MIN_VALUE;
            case 1: return Long.MAX_VALUE;
            case 2: return random.nextInt(10) - 5;
            default: return random.nextLong();
        }
    }

    /** Short and long, of one to four bytes per character. */
    private String text() {
        int length = random.nextInt(8) == 0 ? 120 + random.nextInt(400) : random.nextInt(12);
        boolean isAscii = random.nextBoolean();
        StringBuilder text = new StringBuilder();
        for (int index = 0; index < length; index++) {
            int kind = isAscii ? 0 : random.nextInt(5);
            if (kind == 1) text.appendCodePoint(0x80 + random.nextInt(0x700));
            else if (kind == 2) text.appendCodePoint(0x800 + random.nextInt(0xc000));
            else if (kind == 3) text.appendCodePoint(0x10000 + random.nextInt(0x10000));
            else text.appendCodePoint(random.nextInt(0x80));
        }
        return new String(text.toString().getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8);
    }

    private byte[] bytes() {
        byte[] bytes = new byte[random.nextInt(8) == 0 ? 120 + random.nextInt(400) : random.nextInt(12)];
        random.nextBytes(bytes);
        return bytes;
    }

    private static Map<String, Field> fieldsBySchemaName(Class<?> message) {
        Map<String, Field> fields = new HashMap<>();
        for (Field field : message.getDeclaredFields()) {
            field.setAccessible(true);
            fields.put(schemaName(field.getName()), field);
        }
        return fields;
    }

    /** Schemas write a name with underscores where the class has capitals. */
    private static String schemaName(String name) {
        StringBuilder text = new StringBuilder();
        boolean wasCapital = true;
        for (char each : name.toCharArray()) {
            if (Character.isUpperCase(each) && !wasCapital) text.append('_');
            wasCapital = Character.isUpperCase(each);
            text.append(Character.toLowerCase(each));
        }
        return text.toString();
    }

    @SuppressWarnings("unchecked")
    private static Map<Integer, org.apache.kafka.common.protocol.types.Field> taggedFields(TaggedFields type) throws Exception {
        Field fields = TaggedFields.class.getDeclaredField("fields");
        fields.setAccessible(true);
        return new TreeMap<>((Map<Integer, org.apache.kafka.common.protocol.types.Field>) fields.get(type));
    }
}
