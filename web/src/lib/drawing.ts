// Draws a chart as stacked bars, with uPlot. Legend, tooltip and keys are not its business.

import uPlot from 'uplot';
import { compact } from './numbers';
import { shortPoint, stacked, type Chart } from './series';

export const FONT = '12px system-ui, sans-serif';
const BAR_WIDTH_MOST = 56;
/** Between two names on the axis, in columns; of days, weeks are natural steps. */
const STEPS = [1, 2, 7, 14, 28, 91, 182];
const LETTER_WIDTH = 7;
/** 1, 2, 5, 10, 20, 50 and so on: there are no half records. */
const WHOLE_STEPS = Array.from({ length: 10 }, (_, power) => 10 ** power)
  .flatMap((power) => [power, 2 * power, 5 * power]);

/** Series reach the canvas last first, so that each bar leaves the top of the one behind it free. */
export function draw(
  element: HTMLElement,
  chart: Chart,
  hidden: ReadonlySet<string>,
  height: number,
): uPlot {
  const sheet = colour(element, '--ground');
  const soft = colour(element, '--soft');
  const line = colour(element, '--line');
  const bars = uPlot.paths.bars?.({ size: [0.82, BAR_WIDTH_MOST] });
  const count = chart.points.length;
  const names = chart.points.map((point) => shortPoint(chart.unit, point));
  const widest = Math.max(...names.map((name) => name.length)) * LETTER_WIDTH;
  const options: uPlot.Options = {
    width: element.clientWidth,
    height,
    legend: { show: false },
    padding: [8, 4, 0, 0],
    cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      // Columns are numbered: what the library makes of times breaks with a single one.
      x: { time: false, range: () => [-0.5, count - 0.5] },
      y: { range: (_plot, _least, most) => [0, Math.max(most * 1.05, 1)] },
    },
    axes: [
      {
        font: FONT, stroke: soft, grid: { show: false }, ticks: { stroke: line, size: 4 }, size: 32,
        incrs: STEPS,
        space: Math.max(widest + 2 * LETTER_WIDTH, 48),
        values: (_plot, splits) => splits.map((at) => names[at] ?? ''),
      },
      {
        font: FONT, stroke: soft, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 44,
        incrs: WHOLE_STEPS,
        values: (_plot, splits) => splits.map(compact),
      },
    ],
    series: [
      {},
      ...chart.series.map((one) => ({
        fill: colour(element, one.colour),
        stroke: sheet,
        width: 1,
        points: { show: false },
        show: !hidden.has(one.key),
        ...(bars ? { paths: bars } : {}),
      })).reverse(),
    ],
  };
  return new uPlot(options, dataOf(chart, hidden), element);
}

function dataOf(chart: Chart, hidden: ReadonlySet<string>): uPlot.AlignedData {
  // A bar without height would still leave its border on the axis.
  const drawn = stacked(chart, hidden).map((values) => values.map((value) => value || null));
  return [chart.points.map((_point, index) => index), ...drawn.reverse()];
}

/** A canvas knows no custom properties, so an element has to say what one is worth. */
export function colour(element: HTMLElement, property: string): string {
  const probe = document.createElement('i');
  probe.style.color = `var(${property})`;
  element.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
