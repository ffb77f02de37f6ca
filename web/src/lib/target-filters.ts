// The filters of the page Targets, as they stand in the address.

import type { ActiveTarget, Health } from './prometheus';

export const HEALTHS: readonly Health[] = ['up', 'down', 'unknown'];

export interface TargetFilters {
  health: Health | null;
  /** Words; each is in the address, in a label or in the error. */
  text: string;
  pool: string;
}

export function readTargetFilters(query: URLSearchParams): TargetFilters {
  const health = query.get('health');
  return {
    health: HEALTHS.find((one) => one === health) ?? null,
    text: query.get('text')?.trim() ?? '',
    pool: query.get('pool') ?? '',
  };
}

export const isFiltered = ({ health, text, pool }: TargetFilters): boolean =>
  health !== null || text !== '' || pool !== '';

export function fits(target: ActiveTarget, { health, text, pool }: TargetFilters): boolean {
  if (health !== null && target.health !== health) return false;
  if (pool !== '' && target.scrapePool !== pool) return false;
  const words = text.toLowerCase().split(/\s+/).filter((word) => word !== '');
  if (words.length === 0) return true;
  const labels = Object.entries(target.labels).map(([name, value]) => `${name}="${value}" ${name}=${value}`);
  const all = [target.scrapeUrl, target.lastError, ...labels].join('\n').toLowerCase();
  return words.every((word) => all.includes(word));
}

export interface Pool {
  name: string;
  /** Those that fit, the ones that are down first. */
  targets: ActiveTarget[];
  /** All of the pool, whether they fit or not. */
  count: number;
  up: number;
}

const ORDER: Record<Health, number> = { down: 0, unknown: 1, up: 2 };

export function poolsOf(targets: ActiveTarget[], filters: TargetFilters): Pool[] {
  const pools = new Map<string, Pool>();
  for (const target of targets) {
    const name = target.scrapePool;
    const pool = pools.get(name) ?? { name, targets: [], count: 0, up: 0 };
    pools.set(name, pool);
    pool.count += 1;
    if (target.health === 'up') pool.up += 1;
    if (fits(target, filters)) pool.targets.push(target);
  }
  for (const pool of pools.values()) {
    pool.targets.sort((one, other) =>
      ORDER[one.health] - ORDER[other.health] || one.scrapeUrl.localeCompare(other.scrapeUrl, 'en', { numeric: true }));
  }
  return [...pools.values()]
    .filter((pool) => pool.targets.length > 0)
    .sort((one, other) => one.name.localeCompare(other.name));
}

/** When it was scraped, as text; null before the first time. */
export const lastScrapeOf = ({ lastScrape }: ActiveTarget): string | null =>
  (Date.parse(lastScrape) > 0 ? lastScrape : null);
