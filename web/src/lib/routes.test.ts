import { expect, it } from 'vitest';
import { isPagePath, movedTo, routeOf } from './routes';

const check = (path: string, route: object) => expect(routeOf(path)).toEqual(route);

it('knows the paths of the original', () => {
  for (const path of ['/telemetryui', '/telemetryui/', '/telemetryui/records', '/telemetryui/records/12']) {
    check(path, { page: 'records' });
  }
  check('/telemetryui/records/record_details/86199', { page: 'record', id: 86199 });
  check('/telemetryui/crashes/overall', { page: 'crashes', build: null });
  check('/telemetryui/crashes/page/2', { page: 'crashes', build: null });
  check('/telemetryui/crashes/frames', { page: 'frames' });
  check('/telemetryui/crashes/34960', { page: 'crashes', build: '34960' });
  check('/telemetryui/crashes/22.04%20rc', { page: 'crashes', build: '22.04 rc' });
  check('/telemetryui/crashes/guilty_details/7/backtraces', { page: 'backtraces', id: 7 });
  check('/telemetryui/crashes/guilty_details/7/', { page: 'group', id: 7 });
  check('/telemetryui/stats/', { page: 'statistics' });
  check('/telemetryui/mce', { page: 'machine-checks' });
  check('/telemetryui/thermal', { page: 'thermal' });
});

it('knows the pages of metrics', () => {
  check('/', { page: 'start' });
  check('/explore', { page: 'explore' });
  check('/targets', { page: 'targets' });
  expect(['/', '/explore', '/targets', '/graph', '/apps/wiki/', '/api/v1/query'].map(isPagePath))
    .toEqual([true, true, true, false, false, false]);
});

it('knows when there is no page', () => {
  for (const path of ['/start', '/telemetry', '/telemetryui/constructor', '/telemetryui/records/record_details/0', '/telemetryui/crashes/a/b']) {
    check(path, { page: 'missing' });
  }
});

it('leads to where pages of the original went', () => {
  expect(movedTo('/telemetryui/crashes/guilty_edit/hidden')).toBe('/telemetryui/crashes?hidden=true');
  for (const edit of ['add', 'remove', 'reset/']) {
    expect(movedTo(`/telemetryui/crashes/guilty_edit/${edit}`)).toBe('/telemetryui/crashes/frames');
  }
  expect(movedTo('/telemetryui/crashes/guilty_edit/other')).toBeNull();
  expect(movedTo('/telemetryui/stats')).toBeNull();
});

it('leads from the pages of Prometheus to Explore', () => {
  const query = new URLSearchParams('g0.expr=up&g0.tab=0&g0.range_input=6h');
  expect(movedTo('/graph', query)).toBe('/explore?q1=up&range=6h');
  expect(movedTo('/query', query)).toBe('/explore?q1=up&range=6h');
});

it('leaves files and other parts of the product to the server', () => {
  expect(isPagePath('/telemetryui/stats')).toBe(true);
  expect(isPagePath('/telemetryui/records/export/records-1.csv')).toBe(false);
  expect(isPagePath('/login')).toBe(false);
});
