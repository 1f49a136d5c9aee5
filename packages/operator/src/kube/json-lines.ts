/** A stream of bytes as the JSON values on its lines: what a watch is made of. */

const newline = 0x0a;

/** The value of each whole line. Throws when a line is no JSON or longer than `longestLine` bytes; an unfinished last one is dropped. */
export async function* jsonLines(chunks: AsyncIterable<Buffer>, longestLine: number): AsyncGenerator {
  let begun: Buffer[] = [];
  let begunLength = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
      const rest = chunk.subarray(from, end);
      const line = begunLength === 0 ? rest : Buffer.concat([...begun, rest]);
      begun = [];
      begunLength = 0;
      from = end + 1;
      if (line.length > 0) yield JSON.parse(line.toString('utf8')) as unknown;
    }
    if (from === chunk.length) continue;
    begun.push(chunk.subarray(from));
    begunLength += chunk.length - from;
    if (begunLength > longestLine) throw new Error(`a line of more than ${longestLine} bytes`);
  }
}
