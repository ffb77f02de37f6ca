import { describe, expect, it } from 'vitest';
import { ApiError } from './api';
import { axisFigure, figure } from './figures';
import { appLink, type AppSeen } from './places';
import type { ActiveTarget, Result } from './prometheus';
import { problemsOf, queryProblem } from './query-words';
import { fits, lastScrapeOf, poolsOf, readTargetFilters } from './target-filters';
import { chosenMachine, fileSystemsOf, inOrder, lineValue, machinesOf, vitalsOf } from './vitals';

describe('figures', () => {
  it('are written by what they measure', () => {
    expect([figure(1234.5), figure(0), figure(1.5e-7), figure(2e18), figure(NaN), figure(-Infinity)])
      .toEqual(['1,234.5', '0', '1.5e-7', '2e+18', 'NaN', '-Inf']);
    expect([figure(0.4567, 'share'), figure(0.0123, 'share'), figure(1)]).toEqual(['45.7 %', '1.23 %', '1']);
    expect([figure(3 * 2 ** 30, 'bytes'), figure(-2048, 'bytes/s'), figure(0.0042, 'seconds')])
      .toEqual(['3 GiB', '-2 KiB/s', '4.2 ms']);
    expect([axisFigure(12_345), axisFigure(0.00025)]).toEqual(['12.3K', '0.00025']);
  });
});

const target = (more: Partial<ActiveTarget> = {}): ActiveTarget => ({
  discoveredLabels: {}, labels: { job: 'node', instance: 'attic:9100' }, scrapePool: 'node',
  scrapeUrl: 'http://attic:9100/metrics', lastError: '', lastScrape: '2026-11-22T03:00:00Z',
  lastScrapeDuration: 0.01, health: 'up', ...more,
});
const filtersOf = (query: string) => readTargetFilters(new URLSearchParams(query));

describe('targets', () => {
  const down = target({ health: 'down', lastError: 'connection refused', scrapeUrl: 'http://b/metrics' });
  it('are found by their health, pool and words', () => {
    expect(fits(down, filtersOf(''))).toBe(true);
    expect(fits(down, filtersOf('health=down&text=REFUSED+job=node'))).toBe(true);
    expect([filtersOf('health=up'), filtersOf('text=attic+nothing'), filtersOf('pool=web')].map((one) => fits(down, one)))
      .toEqual([false, false, false]);
    expect(filtersOf('health=ill').health).toBeNull();
  });
  it('are listed by pool, those that are down first', () => {
    const pools = poolsOf([target(), down, target({ scrapePool: 'a' })], filtersOf(''));
    expect(pools.map(({ name, count, up }) => [name, count, up])).toEqual([['a', 1, 1], ['node', 2, 1]]);
    expect(pools[1]?.targets[0]).toBe(down);
    expect(poolsOf([target(), down], filtersOf('health=down'))[0]).toMatchObject({ count: 2, up: 1, targets: [down] });
  });
  it('that were never scraped say so', () => {
    expect(lastScrapeOf(target({ lastScrape: '0001-01-01T00:00:00Z' }))).toBeNull();
    expect(lastScrapeOf(target())).toBe('2026-11-22T03:00:00Z');
  });
});

describe('what the API says of a query', () => {
  const error = new ApiError(400, 'bad_data', 'invalid parameter "query": 1:4: parse error: unexpected end of input');
  it('is told in words and at its place', () => {
    expect(queryProblem(error)).toBe('Line 1, column 4: unexpected end of input');
    expect(problemsOf('up +', error, undefined)).toEqual([
      { severity: 'error', at: 3, message: 'line 1, column 4: unexpected end of input' },
    ]);
    expect(queryProblem(new ApiError(503, 'timeout', 'query timed out'))).toContain('shorter range');
  });
  it('marks notes that name a place', () => {
    const answer = {
      status: 'success' as const, data: { resultType: 'vector' as const, result: [] },
      warnings: ['something is odd'], infos: ['PromQL info: metric might not be a counter (1:6)'],
    };
    expect(problemsOf('rate(up[1m])', undefined, answer)).toEqual([
      { severity: 'info', at: 5, message: 'metric might not be a counter' },
    ]);
  });
});

describe('machines', () => {
  const vector = (result: [Record<string, string>, string][]): Result =>
    ({ resultType: 'vector', result: result.map(([metric, value]) => ({ metric, value: [0, value] })) });
  const machines = machinesOf(vector([
    [{ instance: 'b:9100', job: 'node', nodename: 'cellar', sysname: 'Linux', release: '6.1' }, '1'],
    [{ instance: 'a:9100', job: 'node' }, '0.5'],
  ]));
  it('are called as they call themselves', () => {
    expect(machines.map(({ name, kernel }) => [name, kernel])).toEqual([['a:9100', ''], ['cellar', 'Linux 6.1']]);
    expect(chosenMachine(machines, 'b:9100')?.name).toBe('cellar');
    expect(chosenMachine(machines, 'gone:1')?.name).toBe('a:9100');
    expect(chosenMachine([], null)).toBeUndefined();
  });
  it('are asked for by instance and job, with quotes where they belong', () => {
    const odd = { instance: 'a"b', job: 'node', name: '', kernel: '' };
    for (const { expression, lines } of vitalsOf(odd, 120)) {
      expect(expression).toContain('instance="a\\"b", job="node"');
      for (const line of lines) expect(expression).toContain(`"line", "${line}"`);
    }
  });
  it('show lines in the order in which they are told', () => {
    const series = ['sent', 'received'].map((line) => ({ metric: { line } }));
    expect(inOrder(series, ['received', 'sent']).map(({ metric }) => metric.line)).toEqual(['received', 'sent']);
  });
  it('have each file system once, at its shortest path', () => {
    const of = (line: string, mountpoint: string, device: string) => ({ line, mountpoint, device });
    const found = fileSystemsOf(vector([
      [of('size', '/var/lib/x', '/dev/a'), '100'], [of('free', '/var/lib/x', '/dev/a'), '10'],
      [of('size', '/', '/dev/a'), '100'], [of('free', '/', '/dev/a'), '40'],
      [of('size', '/none', 'none'), '0'],
    ]));
    expect(found).toEqual([{ mountpoint: '/', device: '/dev/a', size: 100, free: 40 }]);
  });
  it('say what is not known', () => {
    const result = vector([[{ line: 'cores' }, '4']]);
    expect([lineValue(result, 'cores'), lineValue(result, 'uptime')]).toEqual([4, null]);
  });
});

it('links applications, with the node where the name is not enough', () => {
  const app = (name: string, node: string): AppSeen => ({ name, node, kind: 'http', state: 'online' });
  const all = [app('wiki', 'a'), app('db', 'a'), app('db', 'b')];
  expect(all.map((one) => appLink(one, all))).toEqual(['/apps/wiki/', '/apps/db@a/', '/apps/db@b/']);
});
