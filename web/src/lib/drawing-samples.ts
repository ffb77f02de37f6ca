// Draws samples over time as lines, with uPlot. Legend, tooltip and keys are not its business.

import uPlot from 'uplot';
import { colour, FONT } from './drawing';
import { axisFigure, type Unit } from './figures';
import { lonely, piled, type SampleChart } from './samples';

export interface SampleLook {
  height: number;
  hidden: ReadonlySet<string>;
  isLogarithmic: boolean;
  isStacked: boolean;
  /** Where the axis of values ends, when that is known. */
  most: number | null;
  /** Told of a part that somebody chose, in seconds. */
  onzoom?: (from: number, to: number) => void;
}

/** Of the axis of values, in pixels. */
const AXIS_WIDTHS: Record<Unit, number> = {
  plain: 62, share: 54, bytes: 66, 'bytes/s': 76, seconds: 72,
};
/** 1, 2, 4, 8 and so on: halves and quarters of the units of sizes. */
const SIZE_STEPS = Array.from({ length: 61 }, (_, power) => 2 ** power);
const POINT_SIZE = 4;
/** A narrower choice was a click. */
const ZOOM_PIXELS_LEAST = 6;
const DAY = 86_400;

export function drawSamples(element: HTMLElement, chart: SampleChart, look: SampleLook): uPlot {
  const soft = colour(element, '--soft');
  const line = colour(element, '--line');
  const times = Array.from({ length: chart.count }, (_, index) => chart.start + index * chart.step);
  const end = times.at(-1) ?? chart.start + chart.step;
  const options: uPlot.Options = {
    width: element.clientWidth,
    height: look.height,
    legend: { show: false },
    padding: [8, 18, 0, 0],
    cursor: {
      x: false, y: false, points: { show: false },
      drag: { x: look.onzoom !== undefined, y: false, setScale: false },
    },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), 'Etc/UTC'),
    scales: {
      x: { time: true, range: () => [chart.start, end] },
      y: scaleOf(look),
    },
    axes: [
      {
        font: FONT, stroke: soft, grid: { show: false }, ticks: { stroke: line, size: 4 }, size: 32,
        space: 64,
        values: (_plot, splits, _axis, _space, step) => splits.map((at) => timeName(at, step)),
      },
      {
        font: FONT, stroke: soft, grid: { stroke: line, width: 1 }, ticks: { show: false },
        size: AXIS_WIDTHS[chart.unit], space: 36,
        ...(chart.unit.startsWith('bytes') ? { incrs: SIZE_STEPS } : {}),
        values: (_plot, splits) => splits.map((at) => (at === null ? '' : axisFigure(at, chart.unit))),
      },
    ],
    series: [{}, ...seriesOf(element, chart, look)],
    bands: bandsOf(chart, look),
    hooks: { setSelect: [(plot) => zoom(plot, look.onzoom)] },
  };
  return new uPlot(options, [times, ...dataOf(chart, look)], element);
}

function scaleOf({ isLogarithmic, isStacked, most }: SampleLook): uPlot.Scale {
  if (isLogarithmic) return { distr: 3, log: 10 };
  return {
    range: (_plot, least, highest) => {
      if (most !== null) return [0, most];
      if (least === null || highest === null || !Number.isFinite(least)) return [0, 1];
      // From zero on where that costs little: a line's height then means something.
      const isNearZero = least >= 0 && (least < 0.7 * highest || least === highest);
      const from = isStacked || isNearZero ? Math.min(0, least) : least;
      const room = (highest - from) * 0.08 || Math.abs(highest) * 0.1 || 1;
      return [from === 0 ? 0 : from - room, highest + room];
    },
  };
}

function seriesOf(element: HTMLElement, chart: SampleChart, look: SampleLook): uPlot.Series[] {
  return chart.lines.map((one) => {
    const stroke = colour(element, one.colour);
    const alone = lonely(one.values);
    return {
      stroke,
      width: 1.5,
      show: !look.hidden.has(one.key),
      dash: one.dash,
      spanGaps: false,
      points: { show: alone.length > 0, size: POINT_SIZE, fill: stroke, filter: () => alone },
      ...(look.isStacked ? { fill: `color-mix(in srgb, ${stroke} 30%, transparent)` } : {}),
    };
  });
}

/** Between each line and the visible one below it; the lowest is filled down to the axis. */
function bandsOf({ lines }: SampleChart, { isStacked, hidden }: SampleLook): uPlot.Band[] {
  if (!isStacked) return [];
  const shown = lines.flatMap(({ key }, index) => (hidden.has(key) ? [] : [index + 1]));
  return shown.slice(1).map((upper, index) => ({ series: [upper, shown[index] ?? upper] }));
}

function dataOf({ lines }: SampleChart, { isStacked, isLogarithmic, hidden }: SampleLook): (number | null)[][] {
  const drawn = isStacked ? piled(lines, hidden) : lines.map(({ values }) => values);
  if (!isLogarithmic) return drawn;
  // There is no logarithm of zero and below.
  return drawn.map((values) => values.map((value) => (value !== null && value > 0 ? value : null)));
}

function zoom(plot: uPlot, onzoom: SampleLook['onzoom']): void {
  const { left, width } = plot.select;
  if (width === 0) return;
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (width < ZOOM_PIXELS_LEAST) return;
  onzoom?.(plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x'));
}

/** `14:05`, `14:05:30`, or the day where one begins. */
function timeName(seconds: number, step: number): string {
  const text = new Date(seconds * 1_000).toISOString();
  if (step >= DAY || seconds % DAY === 0) return `${text.slice(5, 7)}-${text.slice(8, 10)}`;
  return step < 60 ? text.slice(11, 19) : text.slice(11, 16);
}
