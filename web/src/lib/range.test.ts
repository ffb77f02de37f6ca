import { describe, expect, it } from 'vitest';
import { daysBack, drawnDays, drawnSpan, fromInput, offered, PRESETS, rangeWords, readRange, spanOf, toInput } from './range';

const NOW = Date.parse('2026-11-21T17:05:33Z');
const read = (query: string) => readRange(new URLSearchParams(query), '7d');

describe('the range in the address', () => {
  it('is the usual one when nothing or nonsense is there', () => {
    for (const query of ['', 'range=9y', 'since=yesterday']) {
      expect(read(query)).toEqual({ kind: 'preset', preset: '7d' });
    }
  });
  it('prefers a preset, and reads exact times', () => {
    expect(read('range=30d&since=2026-01-01T00:00:00Z')).toEqual({ kind: 'preset', preset: '30d' });
    expect(read('since=2026-11-01T01:00:00%2B01:00')).toEqual({
      kind: 'custom', since: '2026-11-01T00:00:00Z', until: null,
    });
    expect(read('since=2026-11-01T01:00:00 01:00')).toEqual(read('since=2026-11-01T01:00:00%2B01:00'));
  });
  it('reads the days of the original, the last one included', () => {
    expect(read('from_date=2026-11-01&to_date=2026-11-02')).toEqual({
      kind: 'custom', since: '2026-11-01T00:00:00Z', until: '2026-11-03T00:00:00Z',
    });
  });
});

describe('what the API is asked', () => {
  it('is whole minutes, so that the same view asks the same', () => {
    expect(spanOf({ kind: 'preset', preset: '24h' }, NOW)).toEqual({
      since: '2026-11-20T17:05:00Z', until: null,
    });
    expect(spanOf({ kind: 'preset', preset: 'all' }, NOW)).toEqual({ since: null, until: null });
  });
  it('is days back from today where only days are counted', () => {
    expect(daysBack({ kind: 'preset', preset: '24h' }, NOW)).toBe(1);
    expect(daysBack({ kind: 'preset', preset: 'all' }, NOW)).toBe(366);
    expect(daysBack({ kind: 'custom', since: '2026-11-19T00:00:00Z', until: null }, NOW)).toBe(3);
    expect(daysBack({ kind: 'custom', since: '2999-01-01T00:00:00Z', until: null }, NOW)).toBe(1);
  });
});

describe('the span that samples are drawn over', () => {
  const hour = 3_600_000;
  const drawn = (query: string) => drawnSpan(readRange(new URLSearchParams(query), '1h'), '1h', NOW);
  it('ends now unless the address says otherwise', () => {
    expect(drawn('')).toEqual({ start: NOW - hour, end: NOW });
    expect(drawn('range=6h')).toEqual({ start: NOW - 6 * hour, end: NOW });
    expect(drawn('range=all')).toEqual({ start: NOW - hour, end: NOW });
    expect(drawn('since=2026-11-21T17:00:33Z')).toEqual({ start: NOW - 300_000, end: NOW });
  });
  it('has a beginning before its end', () => {
    const end = Date.parse('2026-11-01T00:00:00Z');
    expect(drawn('until=2026-11-01T00:00:00Z')).toEqual({ start: end - hour, end });
    expect(drawn('since=2026-11-02T00:00:00Z&until=2026-11-01T00:00:00Z')).toEqual({ start: end - hour, end });
  });
});

it('draws from the beginning of the range, or of the data, until now', () => {
  const all = { since: null, until: null };
  expect(drawnDays(all, NOW, '2026-11-03')).toEqual(['2026-11-03', '2026-11-21']);
  expect(drawnDays(all, NOW, undefined)).toEqual(['2026-11-21', '2026-11-21']);
  const days = { since: '2026-11-01T00:00:00Z', until: '2026-11-03T00:00:00Z' };
  expect(drawnDays(days, NOW, undefined)).toEqual(['2026-11-01', '2026-11-02']);
});

it('is offered where another view offered it', () => {
  expect(offered(PRESETS, { kind: 'preset', preset: '7d' })).toEqual(PRESETS);
  expect(offered(PRESETS, { kind: 'preset', preset: '14d' })).toEqual(['24h', '7d', '14d', '30d', '90d', 'all']);
  expect(offered(['24h', 'all'], { kind: 'custom', since: null, until: null })).toEqual(['24h', 'all']);
});

it('goes to a field and back, as UTC', () => {
  expect(toInput('2026-11-01T00:00:00Z')).toBe('2026-11-01T00:00');
  expect(fromInput('2026-11-01T00:00')).toBe('2026-11-01T00:00:00Z');
  expect(fromInput('')).toBeNull();
});

it('has words', () => {
  expect(rangeWords({ kind: 'preset', preset: '7d' })).toBe('in the last 7 d');
  expect(rangeWords({ kind: 'custom', since: null, until: '2026-11-03T00:00:00Z' }))
    .toBe('received until 2026-11-03 00:00 UTC');
});
