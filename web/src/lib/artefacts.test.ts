import { expect, it } from 'vitest';
import type { RunRecovery } from './artefact-types';
import { chosenWith, growth, markedValues } from './comparison';
import { appended, hexLines, LINES_MOST, NO_LINES, numbersOf } from './lines';
import { membersWith } from './members';
import { medianOf, rateWords, ratesOf, recoveryChart, summariesOf } from './recovery';
import { askedOf, fieldProblem, isRunSearch, readRunFilters } from './run-filters';
import {
  archiveLink, compareLink, downloadLink, fileLink, foldersOf, lastName, readRunKey, runGroupLink, runLink,
} from './run-links';
import { isPagePath, routeOf } from './routes';
import { duration, quotaProblem, retentionProblem, shareOf, size } from './sizes';
import { foldedWords, leafText, parsed, partsOf } from './tree';

const run = { group: 'perf & co', run: '1-ü#?' };

it('knows the pages of artefacts by their addresses', () => {
  const check = (address: string, route: object) => {
    const { pathname, searchParams } = new URL(address, 'http://here');
    expect(routeOf(pathname, searchParams), address).toEqual(route);
    expect(isPagePath(pathname), address).toBe(true);
  };
  check('/runs', { page: 'run-groups' });
  check('/runs/?range=7d', { page: 'run-groups' });
  check('/runs?view=runs', { page: 'runs', group: null });
  check('/runs?tag=nightly', { page: 'runs', group: null });
  check('/runs?view=compare&left=a/1&right=a/2', { page: 'compare' });
  check('/runs/perf/', { page: 'runs', group: 'perf' });
  check('/runs/perf?view=recovery', { page: 'recovery', group: 'perf' });
  check('/runs/perf?view=settings', { page: 'group-settings', group: 'perf' });
  check(runGroupLink(run.group), { page: 'runs', group: run.group });
  check(runLink(run), { page: 'run', ...run });
  check(`${runLink(run)}/`, { page: 'run', ...run });
  check(runLink(run, { view: 'report' }), { page: 'report', ...run });
  check(fileLink(run, 'logs/a b%.log'), { page: 'run-file', ...run, file: 'logs/a b%.log' });
  check(fileLink(run, 'folder/'), { page: 'run-file', ...run, file: 'folder/' });
  check('/runs//x', { page: 'missing' });
  expect(isPagePath('/runs-of-others')).toBe(false);
});

it('leads to the bytes', () => {
  expect(downloadLink(run, 'logs/a b.log')).toBe('/download/perf%20%26%20co/1-%C3%BC%23%3F/logs/a%20b.log');
  expect(archiveLink(run)).toBe('/download/perf%20%26%20co/1-%C3%BC%23%3F/');
  expect(compareLink('a/1', { group: 'b', run: '2' })).toBe('/runs?view=compare&left=a%2F1&right=b%2F2');
});

it('reads names of runs and paths', () => {
  expect(readRunKey('a/1')).toEqual({ group: 'a', run: '1' });
  for (const wrong of [null, '', 'a', 'a/', '/1', 'a/1/2']) expect(readRunKey(wrong)).toBeNull();
  expect(foldersOf('a/b/c.log')).toEqual([{ name: 'a', path: 'a/' }, { name: 'b', path: 'a/b/' }]);
  expect(foldersOf('a/b/').map(({ path }) => path)).toEqual(['a/', 'a/b/']);
  expect([lastName('a/b.log'), lastName('a/b/'), lastName('c')]).toEqual(['b.log', 'b/', 'c']);
});

it('reads the search from the address', () => {
  const query = new URLSearchParams('tag=+nightly+&status=failed&group=other&state=&pinned=true');
  expect(readRunFilters(query, null)).toEqual({ tag: 'nightly', status: 'failed', group: 'other', pinned: 'true' });
  expect(readRunFilters(query, 'own').group).toBe('own');
  expect(isRunSearch(new URLSearchParams('range=7d'))).toBe(false);
  expect(askedOf({ pinned: 'no' }).pinned).toBeNull();
  expect(fieldProblem('network_plugin:OVN:x')).toBeNull();
  for (const wrong of ['x', ':x', 'x:']) expect(fieldProblem(wrong)).toContain('name and a value');
});

it('says sizes and durations as people do', () => {
  const sizes: [number, string][] = [[0, '0 B'], [1023, '1023 B'], [1024, '1 KiB'], [1_048_575, '1 MiB'], [13_002_342, '12.4 MiB'], [107_374_182_400, '100 GiB']];
  for (const [bytes, words] of sizes) expect(size(bytes)).toBe(words);
  const durations: [number | null, string][] = [[0, '0 s'], [12.5, '12.5 s'], [0.123, '0.12 s'], [59.99, '60 s'], [200, '3 min 20 s'], [3600, '1 h'], [7500, '2 h 5 min'], [2_592_000, '30 d'], [null, 'unknown'], [-90, '-1 min 30 s']];
  for (const [seconds, words] of durations) expect(duration(seconds)).toBe(words);
  expect([shareOf(5, 10), shareOf(5, null), shareOf(5, 0)]).toEqual([0.5, null, 1]);
});

it('says what is wrong with a limit', () => {
  for (const right of ['30d', '12h', '1d12h']) expect(retentionProblem(right)).toBeNull();
  for (const wrong of ['', '30', 'd', '30 d', '0d', '-1d']) expect(retentionProblem(wrong)).toContain('unit');
  for (const right of ['10GiB', '5MB', '1TiB']) expect(quotaProblem(right)).toBeNull();
  for (const wrong of ['', '10', '10G', 'GiB', '1.5GiB']) expect(quotaProblem(wrong)).toContain('unit');
});

const recovered = (at: string, status: 'passed' | 'failed', times: Record<string, number | null>): RunRecovery => ({
  id: at, run: at, at, status,
  scenarios: Object.entries(times).map(([scenario, recovery]) =>
    ({ scenario, status, pods: 1, unrecovered: recovery === null ? 1 : 0, recovery, readiness: null, rescheduling: null })),
});

it('draws the runs from the oldest on, a line for each scenario', () => {
  const runs = [recovered('3', 'failed', { pods: 30 }), recovered('2', 'passed', { pods: 20, nodes: 90 }), recovered('1', 'passed', { pods: null })];
  const chart = recoveryChart(runs);
  expect(chart.runs.map(({ run }) => run)).toEqual(['1', '2', '3']);
  expect(chart.series.map(({ scenario, values }) => [scenario, values])).toEqual([['pods', [null, 20, 30]], ['nodes', [null, 90, null]]]);
  expect(chart.left).toEqual([]);
  const twice = recovered('1', 'passed', { pods: 5 });
  twice.scenarios.push({ ...twice.scenarios[0]!, recovery: 9 });
  expect(recoveryChart([twice]).series[0]?.values).toEqual([9]);
  const many = Object.fromEntries(Array.from({ length: 11 }, (_, index) => [`s${index}`, index + 1]));
  expect(recoveryChart([recovered('1', 'passed', many)]).left).toHaveLength(3);
  const [nodes, pods] = summariesOf(runs);
  expect(nodes).toMatchObject({ scenario: 'nodes', median: 90, unrecovered: 0 });
  expect(pods).toMatchObject({ scenario: 'pods', median: 25, longest: 30, unrecovered: 1, rates: { passed: 2, failed: 1 } });
});

it('says how often runs passed', () => {
  const rate = (passed: number, failed: number) => rateWords({ passed, failed, unknown: 0 });
  expect([rate(0, 0), rate(3, 0), rate(0, 3), rate(2, 1), rate(9_999, 1)]).toEqual(['–', '100 %', '0 %', '66.6 %', '99.9 %']);
  expect(ratesOf([{ status: 'passed' }, { status: null }])).toEqual({ passed: 1, failed: 0, unknown: 1 });
  expect([medianOf([]), medianOf([3]), medianOf([4, 1, 3, 2])]).toEqual([null, 3, 2.5]);
});

const windowOf = (text: string, offset: number, next: number | null) =>
  ({ kind: 'text' as const, media: 'text' as const, is_packed: false, offset, text, next, total: 20 });

it('puts lines together that a window cuts', () => {
  const one = appended(NO_LINES, windowOf('first\nsec', 0, 9));
  expect(one).toMatchObject({ lines: ['first', 'sec'], isCut: true, next: 9 });
  const two = appended(one, windowOf('on', 9, 11));
  const three = appended(two, windowOf('d\n\nlast\n', 11, null));
  expect(three).toMatchObject({ first: 1, lines: ['first', 'second', '', 'last'], isCut: false, next: null });
  expect(numbersOf(three)).toBe('1\n2\n3\n4');
  const whole = appended(appended(NO_LINES, windowOf('a\n', 0, 2)), windowOf('b', 2, null));
  expect(whole.lines).toEqual(['a', 'b']);
});

it('lets the oldest lines make room', () => {
  const many = appended(NO_LINES, windowOf('x\n'.repeat(LINES_MOST), 0, 2));
  const more = appended(many, windowOf('y\nz\n', 2, null));
  expect([more.first, more.lines.length, more.lines.at(-1)]).toEqual([3, LINES_MOST, 'z']);
  expect(numbersOf(more).split('\n').at(-1)).toBe(String(LINES_MOST + 2));
});

it('shows bytes', () => {
  expect(hexLines('4c6f670a00')).toEqual([`0000  4c 6f 67 0a 00${' '.repeat(33)}  Log··`]);
  expect(hexLines('00'.repeat(17))[1]).toContain('0010  00');
});

it('finds members by words', () => {
  const members = ['wal/0001', 'WAL/0002.log', 'meta.json'].map((name) => ({ name, type: 'file' as const, bytes: 1, changed_at: null, at: 0 }));
  expect(membersWith(members, ' wal LOG ').map(({ name }) => name)).toEqual(['WAL/0002.log']);
  expect(membersWith(members, ' ')).toHaveLength(3);
});

it('folds JSON', () => {
  expect([foldedWords([]), foldedWords({ a: 1 }), foldedWords([1, 2])]).toEqual(['[]', '{ 1 field }', '[ 2 items ]']);
  expect(partsOf(Array.from({ length: 300 }), 100)).toHaveLength(100);
  expect([leafText('a"b'), leafText(null), leafText(1.5)]).toEqual(['"a\\"b"', 'null', '1.5']);
  expect(parsed('{"a":')).toBeNull();
  expect(parsed('null')).toEqual({ value: null });
});

it('marks what one side has only', () => {
  const { left, right } = markedValues({ left: ['a', 'b'], right: ['b'] });
  expect(left).toEqual([{ value: 'a', isOnlyHere: true }, { value: 'b', isOnlyHere: false }]);
  expect(right).toEqual([{ value: 'b', isOnlyHere: false }]);
  const file = { name: 'f', left: { bytes: 10, sha256: null }, right: { bytes: 4, sha256: null }, change: 'changed' as const };
  expect(growth(file, (bytes) => `${bytes} B`)).toBe('−6 B');
  expect(growth({ ...file, right: null }, String)).toBe('');
});

it('keeps two runs for a comparison', () => {
  const named = (name: string) => ({ group: 'g', run: name });
  const one = chosenWith([], named('1'));
  const two = chosenWith(one, named('2'));
  expect(chosenWith(two, named('3'))).toEqual(['g/2', 'g/3']);
  expect(chosenWith(two, named('1'))).toEqual(['g/2']);
});
