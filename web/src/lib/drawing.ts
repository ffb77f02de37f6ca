// Draws a chart of days as stacked bars, with uPlot. Legend, tooltip and keys are not its business.

import uPlot from 'uplot';
import { compact } from './numbers';
import { stacked, type Chart } from './series';
import { shortDay, dayOf } from './times';

const DAY_SECONDS = 86_400;
const FONT = '12px system-ui, sans-serif';
const BAR_WIDTH_MOST = 56;
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
  const options: uPlot.Options = {
    width: element.clientWidth,
    height,
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'UTC'),
    padding: [8, 4, 0, 0],
    cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      x: { range: (_plot, first, last) => [first - DAY_SECONDS / 2, last + DAY_SECONDS / 2] },
      y: { range: (_plot, _least, most) => [0, Math.max(most * 1.05, 1)] },
    },
    axes: [
      {
        font: FONT, stroke: soft, grid: { show: false }, ticks: { stroke: line, size: 4 }, size: 32,
        incrs: [1, 2, 7, 14, 28, 91].map((days) => days * DAY_SECONDS),
        space: 56,
        values: (_plot, splits) => splits.map((at) => shortDay(dayOf(at * 1000))),
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
  const seconds = chart.days.map((day) => Date.parse(day) / 1000);
  return [seconds, ...stacked(chart, hidden).reverse()];
}

/** A canvas knows no custom properties, so an element has to say what one is worth. */
function colour(element: HTMLElement, property: string): string {
  const probe = document.createElement('i');
  probe.style.color = `var(${property})`;
  element.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
