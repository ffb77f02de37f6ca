// Makes up what some weeks of chaos tests leave behind: groups, runs, their files and their telemetry.

import { random } from './data.mjs';

const DAY = 86_400_000;
const SCENARIOS = [
  ['pod_disruption_scenarios', 'scenarios/openshift/regex_openshift_pod_kill.yml', 14],
  ['node_scenarios', 'scenarios/openshift/aws_node_scenarios.yml', 210],
  ['zone_outages_scenarios', 'scenarios/openshift/zone_outage.yaml', 95],
];
const VERSIONS = ['4.15.22', '4.16.1', '4.16.3', '4.17.0-rc.2'];
const TAGS = ['nightly', 'nightly', 'nightly', 'release', 'pr-4711'];
export const at = (time) => new Date(time).toISOString();

export function makeArtefacts(now = Date.now()) {
  const next = random(4);
  const hex = (length) => Array.from({ length }, () => Math.floor(next() * 16).toString(16)).join('');
  const settings = (retention = null, quota = null) => ({ retention, quota });
  const groups = [
    { name: 'default', settings: settings(), retention: 30 * 86_400, quota: 107_374_182_400, pinned: false, may: ['read', 'create', 'update', 'delete'] },
    { name: 'performance', settings: settings('90d', '10GiB'), retention: 90 * 86_400, quota: 10_737_418_240, pinned: false, may: ['read', 'create', 'update', 'delete'] },
    { name: 'release-4.17 & später', settings: settings('forever', 'none'), retention: null, quota: null, pinned: true, may: ['read'] },
  ];
  const runs = [];
  for (let index = 0; index < 140; index += 1) {
    const begun = now - (index ** 1.25) * 3_900_000 - 240_000;
    const group = groups[index < 3 ? index % 2 : Math.floor(next() ** 2 * groups.length)];
    runs.push(makeRun({ id: 4_000 - index, group: group.name, begun, now, index, next, hex }));
  }
  const clients = [
    { address: '10.128.4.17', user: 'krkn', key: 'performance/1763741022-1b1f6c7e-nightly/prometheus-03.tar', status: 507, reason: 'InsufficientStorage', attempts: 412, first_at: at(now - 2_060_000), last_at: at(now - 4_000), is_retrying: true },
    { address: '10.128.4.18', user: null, key: 'performance/1763741022-1b1f6c7e-nightly/prometheus-04.tar', status: 507, reason: 'InsufficientStorage', attempts: 97, first_at: at(now - 485_000), last_at: at(now - 3_000), is_retrying: true },
    { address: '192.0.2.44', user: 'ci', key: 'default/build-17/results.tar', status: 403, reason: 'AccessDenied', attempts: 3, first_at: at(now - 9 * 3_600_000), last_at: at(now - 8.9 * 3_600_000), is_retrying: false },
  ];
  return { groups, runs, clients };
}

function makeRun({ id, group, begun, now, index, next, hex }) {
  const tag = TAGS[Math.floor(next() * TAGS.length)];
  const isOpen = index === 0;
  const passed = next() > 0.2;
  const version = VERSIONS[Math.min(3, Math.floor(3.4 - index / 45 + next() * 0.6))];
  const scenarios = SCENARIOS.slice(0, 1 + Math.floor(next() * 3));
  const name = `${Math.floor(begun / 1000)}-${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}-${tag}`;
  const telemetry = isOpen ? null : makeTelemetry({ passed, version, tag, scenarios, begun, next, uuid: name.split('-').slice(1, 6).join('-') });
  const changed = isOpen ? now - 20_000 : begun + 1_500_000 + next() * 3_000_000;
  const files = makeFiles({ index, begun: changed, telemetry, next, hex });
  const fields = telemetry ? fieldsOf(telemetry) : {};
  return {
    id, group, run: name, state: isOpen ? 'open' : changed > now - 3_600_000 ? 'telemetry_received' : 'closed',
    created_at: at(begun), changed_at: at(changed), pinned: index === 5, fields, telemetry, all: files,
    expires_at: group === 'default' ? at(changed + 30 * DAY) : null,
  };
}

function fieldsOf(telemetry) {
  const times = telemetry.scenarios.flatMap((one) => one.affected_pods.recovered.map((pod) => String(pod.total_recovery_time)));
  return {
    cluster_version: [telemetry.cluster_version], cloud_infrastructure: [telemetry.cloud_infrastructure], network_plugin: telemetry.network_plugins,
    recovery_time: [...new Set(times)], scenario: telemetry.scenarios.map((one) => one.scenario),
    scenario_type: telemetry.scenarios.map((one) => one.scenario_type), status: [telemetry.job_status ? 'passed' : 'failed'],
    tag: [telemetry.tag], total_node_count: ['6'],
  };
}

function makeTelemetry({ passed, version, tag, scenarios, begun, next, uuid }) {
  let time = Math.floor(begun / 1000);
  const all = scenarios.map(([type, scenario, usual], place) => {
    const start = time;
    const hasFailed = !passed && place === 0;
    const recovered = Array.from({ length: 1 + Math.floor(next() * 4) }, (_, pod) => {
      const total = Number((usual * (0.6 + next()) * (hasFailed ? 1.9 : 1)).toFixed(3));
      return { pod_name: `etcd-ip-10-0-${pod}-${Math.floor(next() * 250)}.ec2.internal`, namespace: 'openshift-etcd', total_recovery_time: total, pod_readiness_time: Number((total * 0.7).toFixed(3)), pod_rescheduling_time: Number((total * 0.3).toFixed(3)) };
    });
    time += Math.floor(usual * 2 + 60);
    return {
      start_timestamp: start, end_timestamp: time, scenario, scenario_type: type, exit_status: hasFailed ? 1 : 0, parameters_base64: '',
      parameters: { config: { namespace_pattern: '^openshift-etcd$', label_selector: 'k8s-app=etcd', krkn_pod_recovery_time: 120, kill: 1 } },
      affected_pods: { recovered, unrecovered: hasFailed ? [{ pod_name: 'etcd-guard-ip-10-0-4-11.ec2.internal', namespace: 'openshift-etcd' }] : [], error: null },
      affected_nodes: type === 'node_scenarios' ? [{ node_name: 'ip-10-0-4-11.ec2.internal', node_id: 'i-0a1b2c3d', not_ready_time: 41.2, ready_time: 118.75, stopped_time: 33, running_time: 92.5, terminating_time: 0 }] : [],
      cluster_events: [{ name: 'etcd-1.17a', creation: at(start * 1000), reason: 'Killing', message: 'Stopping container etcd', namespace: 'openshift-etcd', source_component: 'kubelet', involved_object_kind: 'Pod', involved_object_name: 'etcd-1', type: 'Normal' }],
      ...(place === 0 ? { blast_radius: { nodes: 1, zones: ['us-east-2a'] } } : {}),
    };
  });
  return {
    scenarios: all, job_status: passed, cluster_version: version, major_version: version.slice(0, 4), cloud_infrastructure: 'AWS', cloud_type: 'self-managed', tag, run_uuid: uuid,
    timestamp: at(begun), total_node_count: 6, network_plugins: ['OVNKubernetes'], fips_enabled: false, etcd_encryption_enabled: true, build_url: 'https://prow.example.net/view/17',
    node_summary_infos: [{ count: 3, architecture: 'amd64', instance_type: 'm6i.2xlarge', nodes_type: 'master', kernel_version: '5.14.0-427.40.1.el9_4.x86_64', kubelet_version: 'v1.29.8', os_version: 'Red Hat Enterprise Linux CoreOS 416.94' }, { count: 3, architecture: 'amd64', instance_type: 'm6i.4xlarge', nodes_type: 'worker', kernel_version: '5.14.0-427.40.1.el9_4.x86_64', kubelet_version: 'v1.29.8', os_version: 'Red Hat Enterprise Linux CoreOS 416.94' }],
    node_taints: [{ node_name: 'ip-10-0-4-11.ec2.internal', effect: 'NoSchedule', key: 'node-role.kubernetes.io/master', value: '' }],
    kubernetes_objects_count: { Pod: 312, Deployment: 88, ConfigMap: 1_204, Secret: 997 }, health_checks: [{ url: 'https://console.example.net/healthz', status: true, status_code: 200, start_timestamp: begun / 1000, end_timestamp: begun / 1000 + 600, duration: 600.12 }],
    alerts: passed ? [] : [{ alertname: 'etcdMembersDown', alertstate: 'firing', namespace: 'openshift-etcd', severity: 'critical' }],
    overall_resiliency_report: { resiliency_score: passed ? 97 : 71, passed_slos: passed ? 33 : 24, total_slos: 34, scenarios: Object.fromEntries(scenarios.map(([, name]) => [name, passed ? 98 : 70])) },
    experiment: { owner: 'team-chaos', budget: null, notes: ['first', 'second'] },
  };
}

function makeFiles({ index, begun, telemetry, next, hex }) {
  const file = (name, bytes, content_type, more = {}) => ({ name, bytes, changed_at: at(begun - next() * 60_000), versions: 1, content_type, etag: hex(32), sha256: hex(64), part_of: null, ...more });
  const parts = Array.from({ length: index === 0 ? 0 : 4 }, (_, part) => file(`prometheus-0${part}.tar`, part < 3 ? 52_428_800 : 7_340_032, 'application/x-tar', { part_of: 'prometheus.tar' }));
  const all = [
    file('critical-alerts-00.log', 512, 'application/octet-stream'), file('console.png', 31_022, 'image/png'),
    file('logs-openshift-etcd-00.tar.gz', 1_220_480, 'application/gzip', { versions: 2 }), file('results/junit/chaos.xml', 9_120, 'application/xml'),
    file('results/krkn.log.gz', 402_311, 'application/gzip'), file('results/core.bin', 65_536, 'application/octet-stream'), ...parts,
  ];
  if (telemetry) all.push(file('telemetry.json', 18_412, 'application/json'));
  if (index === 2) for (let number = 0; number < 2_000; number += 1) all.push(file(`results/pods/pod-${String(number).padStart(5, '0')}.log`, 900 + number, 'text/plain'));
  return index === 0 ? all.slice(2, 4) : all.sort((one, other) => (one.name < other.name ? -1 : 1));
}
