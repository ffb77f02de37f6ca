// Draws recovery times as lines with points, with uPlot. Legend, tooltip and keys are not its business.

import uPlot from 'uplot';
import { colour, FONT } from './drawing';
import type { RecoveryChart } from './recovery';
import { duration } from './sizes';
import { dayOf, shortDay } from './times';

const POINT_SIZE = 6;
const CROSS = 5;
const NAME_WIDTH = 64;
/** Seconds between two lines of the grid, as clocks have them. */
const STEPS = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200,
  21_600, 43_200, 86_400, 172_800, 604_800,
];

export function drawLines(
  element: HTMLElement,
  chart: RecoveryChart,
  hidden: ReadonlySet<string>,
  height: number,
): uPlot {
  const soft = colour(element, '--soft');
  const line = colour(element, '--line');
  const count = chart.runs.length;
  const names = chart.runs.map(({ at }) => shortDay(dayOf(Date.parse(at) || 0)));
  const options: uPlot.Options = {
    width: element.clientWidth,
    height,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      // Runs are numbered: they come at no regular times.
      x: { time: false, range: () => [-0.5, count - 0.5] },
      y: { range: (_plot, _least, most) => [0, Math.max(most * 1.08, 0.01)] },
    },
    axes: [
      {
        font: FONT, stroke: soft, grid: { show: false }, ticks: { stroke: line, size: 4 }, size: 32,
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500], space: NAME_WIDTH,
        values: (_plot, splits) => splits.map((at) => names[at] ?? ''),
      },
      {
        font: FONT, stroke: soft, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 72,
        incrs: STEPS,
        values: (_plot, splits) => splits.map((at) => duration(at)),
      },
    ],
    series: [
      {},
      ...chart.series.map((one) => ({
        stroke: colour(element, one.colour),
        width: 2,
        show: !hidden.has(one.scenario),
        spanGaps: true,
        points: { show: true, size: POINT_SIZE, fill: colour(element, one.colour) },
      })),
    ],
    hooks: { draw: [(plot) => crosses(plot, chart, hidden, colour(element, '--bad'))] },
  };
  const columns = chart.runs.map((_run, index) => index);
  return new uPlot(options, [columns, ...chart.series.map(({ values }) => values)], element);
}

/** Marks what failed, so that it is not told by colour alone. */
function crosses(
  plot: uPlot, chart: RecoveryChart, hidden: ReadonlySet<string>, bad: string,
): void {
  const { ctx } = plot;
  const arm = CROSS * devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = bad;
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.beginPath();
  for (const { scenario, values } of chart.series) {
    if (hidden.has(scenario)) continue;
    chart.runs.forEach((run, index) => {
      const value = values[index] ?? null;
      const hasFailed = run.scenarios.some((one) => one.scenario === scenario && one.status === 'failed');
      if (value === null || !hasFailed) return;
      const x = plot.valToPos(index, 'x', true);
      const y = plot.valToPos(value, 'y', true);
      ctx.moveTo(x - arm, y - arm);
      ctx.lineTo(x + arm, y + arm);
      ctx.moveTo(x + arm, y - arm);
      ctx.lineTo(x - arm, y + arm);
    });
  }
  ctx.stroke();
  ctx.restore();
}
