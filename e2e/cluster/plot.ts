/** Lines over time as an SVG picture that needs nothing to be looked at. */

export interface PlotLine {
  readonly name: string;
  /** In ascending order of the first number. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

const width = 900;
const height = 360;
const margin = { left: 60, right: 20, top: 40, bottom: 45 };
const colours = ['#1f77b4', '#2ca02c', '#d62728', '#9467bd'];
const gridLines = 5;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

export function plot(title: string, xName: string, lines: readonly PlotLine[]): string {
  const all = lines.flatMap(({ points }) => points);
  const maxX = Math.max(1e-9, ...all.map(([x]) => x));
  const maxY = Math.max(1e-9, ...all.map(([, y]) => y));
  const across = (x: number): number => margin.left + (x / maxX) * (width - margin.left - margin.right);
  const down = (y: number): number => height - margin.bottom - (y / maxY) * (height - margin.top - margin.bottom);
  const text = (x: number, y: number, words: string, anchor = 'middle', colour = '#333'): string =>
    `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="${colour}">${escaped(words)}</text>`;
  const parts = [text(width / 2, 20, title), text(width / 2, height - 8, xName)];
  for (let step = 0; step <= gridLines; step += 1) {
    const [x, y] = [(maxX * step) / gridLines, (maxY * step) / gridLines];
    parts.push(
      `<line x1="${margin.left}" x2="${width - margin.right}" y1="${down(y).toFixed(1)}" y2="${down(y).toFixed(1)}" stroke="#ddd"/>`,
      text(margin.left - 6, down(y) + 4, y.toFixed(1), 'end'),
      text(across(x), height - margin.bottom + 18, x.toFixed(1)),
    );
  }
  for (const [index, { name, points }] of lines.entries()) {
    const colour = colours[index % colours.length]!;
    const path = points.map(([x, y]) => `${across(x).toFixed(1)},${down(y).toFixed(1)}`).join(' ');
    parts.push(
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.5"/>`,
      text(margin.left + 12 + index * 200, 36, name, 'start', colour),
    );
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}
