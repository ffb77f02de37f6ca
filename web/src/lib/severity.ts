// What the four severities are called.

import type { Severity } from './types';

export const SEVERITIES: readonly Severity[] = [1, 2, 3, 4];

export const SEVERITY_NAMES: Record<Severity, { short: string; long: string }> = {
  1: { short: 'low', long: 'low' },
  2: { short: 'med', long: 'medium' },
  3: { short: 'high', long: 'high' },
  4: { short: 'crit', long: 'critical' },
};

/** By the key under which counts have it. */
export const severityLabel = (key: string): string =>
  SEVERITY_NAMES[Number(key) as Severity]?.long ?? `severity ${key}`;
