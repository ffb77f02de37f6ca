import { expect, it } from 'vitest';
import { cell, columnsOf, heading, instant, readAlerts, readReport, statusOfFields } from './report';

const document = {
  job_status: false,
  cluster_version: '4.16.1',
  network_plugins: ['OVNKubernetes', 'Multus'],
  cloud_type: null,
  scenarios: [{
    scenario: 'pods.yml', scenario_type: 'pod', exit_status: 1, start_timestamp: 1_700_000_000, end_timestamp: 1_700_000_060.5,
    parameters_base64: '', parameters: { kill: 1 }, blast_radius: { nodes: 1 }, telemetry_of_tomorrow: [],
    affected_pods: {
      recovered: [{ pod_name: 'a', namespace: 'n', total_recovery_time: 5 }, { pod_name: 'b', namespace: 'n', total_recovery_time: '12.5', pod_readiness_time: 9 }],
      unrecovered: [{ pod_name: 'c', namespace: 'n' }], error: null,
    },
    affected_vmis: { recovered: [], unrecovered: [], error: null },
    affected_nodes: [{ node_name: 'x', ready_time: 3 }],
  }],
  node_summary_infos: [{ count: 3 }], node_taints: [],
  overall_resiliency_report: { resiliency_score: 71, passed_slos: 24, total_slos: 34, scenarios: { 'pods.yml': 70 } },
  alerts: [{ alertname: 'down', alertstate: 'firing', severity: 'critical', namespace: 'n' }],
  experiment: { owner: 'us' },
  nothing: null,
};

it('reads what it knows and keeps the rest', () => {
  const report = readReport(document);
  expect(report?.status).toBe('failed');
  expect(report?.facts).toEqual([['Cluster version', '4.16.1'], ['Network plugins', 'OVNKubernetes, Multus']]);
  expect(report?.nodes).toHaveLength(1);
  expect(report?.resiliency).toMatchObject({ score: 71, passed: 24, total: 34, scenarios: [['pods.yml', 70]] });
  expect(report?.alerts).toEqual([{ when: 'during', name: 'down', state: 'firing', severity: 'critical', namespace: 'n' }]);
  expect(report?.rest).toEqual([['experiment', { owner: 'us' }]]);
});

it('reads a scenario', () => {
  const [scenario] = readReport(document)?.scenarios ?? [];
  expect(scenario).toMatchObject({ name: 'pods.yml', type: 'pod', status: 'failed', exitStatus: 1, start: 1_700_000_000, end: 1_700_000_060.5 });
  expect(scenario?.affected).toHaveLength(1);
  const [pods] = scenario?.affected ?? [];
  expect(pods?.recovered.map(({ name, total, ready }) => [name, total, ready])).toEqual([['b', 12.5, 9], ['a', 5, null]]);
  expect([pods?.longest, pods?.unrecovered.length]).toEqual([12.5, 1]);
  expect(scenario?.rest).toEqual([['blast_radius', { nodes: 1 }]]);
});

it('takes nothing for granted', () => {
  for (const odd of [null, 'text', 4, []]) expect(readReport(odd)).toBeNull();
  const report = readReport({ scenarios: ['x', { exit_status: 'none', affected_pods: 'all' }], node_summary_infos: {}, cluster_version: { odd: true } });
  expect(report?.scenarios).toHaveLength(1);
  expect(report?.scenarios[0]).toMatchObject({ name: 'without a name', status: null, affected: [] });
  // What has an unknown shape is not lost.
  expect(report?.rest).toEqual([['cluster_version', { odd: true }]]);
  expect(readReport({ scenarios: [], parameters_base64: '' })?.rest).toEqual([]);
});

it('says values as people do', () => {
  expect(heading('node_ready_time')).toBe('Node ready time');
  expect(instant(1_700_000_000.9)).toBe('2023-11-14 22:13:20 UTC');
  expect(instant(1e300)).toBe('unknown');
  expect(cell('start_timestamp', 1_700_000_000)).toContain('2023-11-14');
  expect([cell('x', true), cell('x', null), cell('x', 1 / 3), cell('x', { a: 1 })]).toEqual(['yes', '', '0.333', '{"a":1}']);
  expect(columnsOf([{ a: 1, b: null }, { c: 2 }])).toEqual(['a', 'c']);
});

it('knows a file of alerts', () => {
  expect(readAlerts({ chaos_alerts: [{ alertname: 'x' }], post_chaos_alerts: [] })).toHaveLength(1);
  expect(readAlerts({ alerts: [] })).toBeNull();
  expect(readAlerts([])).toBeNull();
  expect(statusOfFields({ status: ['passed'] })).toBe('passed');
  expect(statusOfFields({})).toBeNull();
});
