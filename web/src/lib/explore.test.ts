import { describe, expect, it } from 'vitest';
import { address } from './api';
import { exploreLink, fromPrometheus, messageWords, placeIn, readExploration, writeQueries } from './explore';

const read = (query: string) => readExploration(new URLSearchParams(query));
const query = (expression: string, isHidden = false) => ({ expression, isHidden });

describe('what the address says', () => {
  it('is a graph of nothing at first', () => {
    expect(read('')).toEqual({
      queries: [], view: 'graph', isLogarithmic: false, isStacked: false, isExplained: false, step: null, refresh: 0,
    });
  });
  it('names queries and how they are shown', () => {
    expect(read('q1=up&q2=+sum(up)+&q3=&hidden=2&view=table&scale=log&stack=on&explain=on&step=30s&refresh=15s')).toEqual({
      queries: [query('up'), query('sum(up)', true)],
      view: 'table', isLogarithmic: true, isStacked: true, isExplained: true, step: 30, refresh: 15,
    });
  });
  it('is not led astray by nonsense', () => {
    expect(read('q0=a&q11=b&step=soon&refresh=1ms&view=3d')).toEqual(read(''));
  });
  it('comes back as it was written, in a row without gaps', () => {
    const queries = [query('a + b'), query(''), query('{x="&"}', true)];
    const text = address('/explore', writeQueries(queries)).split('?')[1] ?? '';
    expect(read(text).queries).toEqual([query('a + b'), query('{x="&"}', true)]);
  });
  it('can be linked', () => {
    expect(exploreLink(['up', 'a or b'], { range: '6h' })).toBe('/explore?q1=up&q2=a+or+b&range=6h');
  });
});

describe('links to Prometheus', () => {
  const NOW = Date.parse('2026-11-22T12:00:00Z');
  const moved = (text: string) => address('', fromPrometheus(new URLSearchParams(text), NOW));
  it('keep expressions, view and range', () => {
    expect(moved('g0.expr=up&g0.tab=0&g0.range_input=1h&g1.expr=a&g1.tab=1')).toBe('?q1=up&q2=a&range=1h');
    expect(moved('g0.expr=up&g0.tab=1')).toBe('?q1=up&view=table&range=1h');
    expect(moved('g0.expr=up&g0.tab=graph&g0.stacked=1&g0.step_input=30&g0.range_input=24h'))
      .toBe('?q1=up&stack=on&step=30&range=24h');
  });
  it('keep ranges that are no preset, and their end', () => {
    expect(moved('g0.expr=up&g0.tab=0&g0.range_input=2h')).toBe('?q1=up&since=2026-11-22T10%3A00%3A00.000Z');
    expect(moved('g0.expr=up&g0.tab=0&g0.range_input=1h&g0.end_input=2026-11-01+08:30:00'))
      .toBe('?q1=up&since=2026-11-01T07%3A30%3A00.000Z&until=2026-11-01T08%3A30%3A00.000Z');
  });
});

describe('messages about an expression', () => {
  it('are found in it', () => {
    expect(placeIn('sum(up', '1:7: parse error: unclosed left parenthesis')).toBe(6);
    expect(placeIn('a +\nb b', 'invalid parameter "query": 2:3: parse error: unexpected identifier')).toBe(6);
    expect(placeIn('rate(up[5m])', 'PromQL info: metric might not be a counter: "up" (1:6)')).toBe(5);
    expect(placeIn('up', '9:1: parse error: beyond the end')).toBeNull();
    expect(placeIn('up', 'query timed out')).toBeNull();
  });
  it('lose what only programs need', () => {
    expect(messageWords('invalid parameter "query": 1:7: parse error: no')).toBe('line 1, column 7: no');
  });
});
