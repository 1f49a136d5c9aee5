import { runSchedule } from './simulation.ts';
it('x', async () => {
  let bad = 0;
  const start = Date.now();
  let n = 0;
  for (let s = 0; s < 400 && Date.now() - start < 40000; s++) {
    n++;
    const v = await runSchedule(s);
    if (v.length && bad++ < 6) process.stderr.write(`${s} ${JSON.stringify(v.slice(0, 4))}\n`);
  }
  process.stderr.write(`bad ${bad} of ${n}, ${(Date.now() - start) / n} ms each\n`);
}, 60000);
