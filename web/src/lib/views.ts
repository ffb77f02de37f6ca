// Classes of records that have a view of their own: machine checks and thermal events at the
// addresses of the original, and any other by its classification.

import { shortClass } from './classes';
import { daysBetween } from './times';
import type { Preset } from './range';

export interface View {
  title: string;
  /** A classification, or the beginning of several with a star. */
  pattern: string;
  usual: Preset;
  /** What else is said about it. */
  note: string;
  /** Whether payloads name the status of a machine check. */
  hasCodes: boolean;
}

export const MACHINE_CHECKS: View = {
  title: 'Machine checks',
  pattern: 'org.clearlinux/mce/*',
  usual: '90d',
  note: 'What processors and memory report about themselves. Thermal events are among them.',
  hasCodes: true,
};

export const THERMAL: View = {
  title: 'Thermal events',
  pattern: 'org.clearlinux/mce/thermal',
  usual: '30d',
  note: 'Processors that became too hot and slowed down.',
  hasCodes: false,
};

export function viewOf(pattern: string): View {
  if (pattern === MACHINE_CHECKS.pattern) return MACHINE_CHECKS;
  if (pattern === THERMAL.pattern) return THERMAL;
  const hasCodes = pattern.startsWith('org.clearlinux/mce/');
  return { title: shortClass(pattern), pattern, usual: '30d', note: '', hasCodes };
}

/** Longer than this, weeks are easier to compare than days. */
const DAYS_MOST = 35;

export const usualUnit = (first: string, last: string): 'day' | 'week' =>
  daysBetween(first, last).length > DAYS_MOST ? 'week' : 'day';
