// What is asked to see how a machine does, by the names of node_exporter.

import type { Unit } from './figures';
import {
  numberOf, quoted, type InstantSeries, type Metric, type RangeSeries, type Result,
} from './prometheus';

export interface Machine {
  instance: string;
  job: string;
  /** What the machine calls itself, when that is known. */
  name: string;
  kernel: string;
}

export const MACHINES = 'node_uname_info or on (instance, job) node_load1';

export function machinesOf(result: Result): Machine[] {
  if (result.resultType !== 'vector') return [];
  return result.result
    .map(({ metric }) => ({
      instance: metric['instance'] ?? '',
      job: metric['job'] ?? '',
      name: metric['nodename'] ?? metric['instance'] ?? 'this machine',
      kernel: [metric['sysname'], metric['release']].filter(Boolean).join(' '),
    }))
    .sort((one, other) => one.name.localeCompare(other.name) || one.instance.localeCompare(other.instance));
}

/** The one that the address names, or the first. */
export const chosenMachine = (machines: Machine[], instance: string | null): Machine | undefined =>
  machines.find((one) => one.instance === instance) ?? machines[0];

export interface Vital {
  key: string;
  title: string;
  expression: string;
  unit: Unit;
  /** Where the axis ends, when that is known. */
  most: number | null;
  /** The names of the lines, in the order in which they are told. */
  lines: string[];
}

/** The label that names a line. */
export const LINE = 'line';
/** Devices that are parts of others, or none. */
const NO_NETWORK = 'lo|veth.*|docker.*|br-.*|virbr.*|cni.*|flannel.*|cali.*';
const NO_DISK = 'loop.*|ram.*|zram.*|dm-.*|sr.*|fd.*|md.*';
const NO_FILES = 'tmpfs|ramfs|devtmpfs|overlay|squashfs|proc|sysfs|cgroup.*|nsfs|autofs|fuse.*|iso9660|tracefs|debugfs|rpc_pipefs|efivarfs';

const named = (expression: string, line: string): string =>
  `label_replace(${expression}, ${quoted(LINE)}, ${quoted(line)}, "", "")`;

/** Those that are drawn; `seconds` is over how long counters are looked at. */
export function vitalsOf(machine: Machine, seconds: number): Vital[] {
  const s = matchers(machine);
  const rate = (metric: string, more = ''): string => `sum(rate(${metric}{${s}${more}}[${seconds}s]))`;
  const cpu = (mode: string): string =>
    `sum(rate(node_cpu_seconds_total{${s}, mode${mode}}[${seconds}s])) / count(node_cpu_seconds_total{${s}, mode="idle"})`;
  const disk = `, device!~${quoted(NO_DISK)}`;
  const network = `, device!~${quoted(NO_NETWORK)}`;
  const vital = (
    key: string, title: string, unit: Unit, lines: [string, string][], most: number | null = null,
  ): Vital => ({
    key, title, unit, most,
    lines: lines.map(([line]) => line),
    expression: lines.map(([line, expression]) => named(expression, line)).join(' or '),
  });
  return [
    vital('cpu', 'Processors busy', 'share', [
      ['working', cpu('!~"idle|iowait|steal"')],
      ['waiting for disks', cpu('="iowait"')],
      ['taken by the host', cpu('="steal"')],
    ], 1),
    vital('load', 'Load', 'plain', [
      ['1 min', `node_load1{${s}}`], ['5 min', `node_load5{${s}}`], ['15 min', `node_load15{${s}}`],
    ]),
    vital('memory', 'Memory', 'bytes', [
      ['used', `node_memory_MemTotal_bytes{${s}} - node_memory_MemAvailable_bytes{${s}}`],
      ['all', `node_memory_MemTotal_bytes{${s}}`],
    ]),
    vital('disks', 'Disks', 'bytes/s', [
      ['read', rate('node_disk_read_bytes_total', disk)],
      ['written', rate('node_disk_written_bytes_total', disk)],
    ]),
    vital('network', 'Network', 'bytes/s', [
      ['received', rate('node_network_receive_bytes_total', network)],
      ['sent', rate('node_network_transmit_bytes_total', network)],
    ]),
  ];
}

const matchers = ({ instance, job }: Machine): string => {
  const both: [string, string][] = [['instance', instance], ['job', job]];
  return both.map(([name, value]) => `${name}=${quoted(value)}`).join(', ');
};

/** Series in the order of their lines. */
export function inOrder(series: RangeSeries[], lines: string[]): RangeSeries[] {
  const place = ({ metric }: RangeSeries): number => lines.indexOf(metric[LINE] ?? '');
  return [...series].sort((one, other) => place(one) - place(other));
}

/** What is told in words beside the plots, one value each. */
export function factsOf(machine: Machine): string {
  const s = matchers(machine);
  return [
    named(`node_time_seconds{${s}} - node_boot_time_seconds{${s}}`, 'uptime'),
    named(`count(node_cpu_seconds_total{${s}, mode="idle"})`, 'cores'),
    named(`node_memory_MemTotal_bytes{${s}}`, 'memory'),
  ].join(' or ');
}

export const sizesOfFiles = (machine: Machine): string => {
  const s = `${matchers(machine)}, fstype!~${quoted(NO_FILES)}`;
  return `${named(`node_filesystem_size_bytes{${s}}`, 'size')} or ${named(`node_filesystem_avail_bytes{${s}}`, 'free')}`;
};

export interface FileSystem {
  mountpoint: string;
  device: string;
  size: number;
  free: number;
}

/** File systems, each device once: a bind mount tells nothing more. */
export function fileSystemsOf(result: Result): FileSystem[] {
  if (result.resultType !== 'vector') return [];
  const found = new Map<string, FileSystem>();
  const byLine = (line: string): InstantSeries[] =>
    result.result.filter(({ metric }) => metric[LINE] === line)
      .sort((one, other) => mountOf(one.metric).length - mountOf(other.metric).length);
  for (const { metric, value } of byLine('size')) {
    const device = metric['device'] ?? '';
    const size = numberOf(value?.[1] ?? '');
    if (!found.has(device) && size > 0) found.set(device, { device, mountpoint: mountOf(metric), size, free: 0 });
  }
  for (const { metric, value } of byLine('free')) {
    const one = found.get(metric['device'] ?? '');
    if (one?.mountpoint === mountOf(metric)) one.free = numberOf(value?.[1] ?? '');
  }
  return [...found.values()].sort((one, other) => one.mountpoint.localeCompare(other.mountpoint));
}

const mountOf = (metric: Metric): string => metric['mountpoint'] ?? '';

/** A value by the name of its line; null when it is not there. */
export function lineValue(result: Result, line: string): number | null {
  if (result.resultType !== 'vector') return null;
  const found = result.result.find(({ metric }) => metric[LINE] === line)?.value;
  return found === undefined ? null : numberOf(found[1]);
}
