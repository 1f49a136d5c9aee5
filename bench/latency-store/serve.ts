/** `serve.ts <port>`: the memory store as a program, without latency until it is told one. */
import { MemoryS3 } from './memory-s3.ts';

const port = Number(process.argv[2]);
await new MemoryS3({ putMs: 0, getMs: 0, slowestMs: 0 }).listen(port);
console.log(`ready on 127.0.0.1:${port}`);
