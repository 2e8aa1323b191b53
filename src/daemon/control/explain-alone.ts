/**
 * Where a dispatcher without a cluster would send a packet now. Reads the shared table and chooses as the packet path would, changing nothing:
 * the server is named where the flow, its session or a hash decides, and not where the scheduler's own state does.
 */
import { Balancer, NO_SERVER } from '../../balance/balancer.ts';
import type { ClusterKey } from '../../balance/cluster-key.ts';
import { type Generation, isCandidate, type ServiceSpec } from '../../balance/generation.ts';
import { ServerMask } from '../../balance/server-mask.ts';
import { affinityMask } from '../../balance/service-table.ts';
import {
  emptyFlowRow,
  FLAG_TOMBSTONE,
  type FlowRow,
  flowMeta,
  NO_ROW,
  packPorts,
  STATE_CLOSING,
  sessionMeta,
} from '../../table/flow-row.ts';
import type { SharedTable } from '../../table/shared-table.ts';
import { TableReader } from '../../table/table-reader.ts';
import type { AddressWords } from '../../wire/address.ts';
import type { ExplainView } from '../cluster/cluster-views.ts';
import type { ExplainedPacket } from '../member/answers.ts';

export interface AloneSource {
  readonly node: string;
  readonly generation: Generation;
  readonly table: SharedTable;
  readonly clusterKey: ClusterKey;
}

export function explainAlone(source: AloneSource, packet: ExplainedPacket): ExplainView {
  const answer = (rule: number, verdict: string, server = ''): ExplainView => ({
    ...{ dispatcher: source.node, answered: true, to: '' },
    ...{ rule, verdict, server },
  });
  const service = source.generation.services.find((one) => isOf(one, packet));
  if (service === undefined) return answer(0, 'no service has this address, protocol and port');
  const nameOf = (index: number): string =>
    service.servers.find((server) => server.index === index)?.name ?? `#${index}`;
  const table = new TableReader(source.table.buffers);
  const flow = readRow(
    table,
    packet.client,
    packPorts(packet.clientPort, packet.vipPort),
    flowMeta(service.index),
  );
  if (flow !== undefined && (flow.flags & FLAG_TOMBSTONE) === 0) {
    const closing = flow.state === STATE_CLOSING;
    return answer(
      1,
      closing ? 'forward: its flow is closing' : 'forward: its flow is known',
      nameOf(flow.server),
    );
  }
  if (!packet.opens && service.unknown !== 'hash')
    return answer(6, `opens nothing, and its flow is not known: ${service.unknown}`);
  const session = service.affinity.kind === 'client' ? sessionOf(table, service, packet.client) : undefined;
  const kept = service.servers.find((server) => server.index === session?.server);
  if (kept !== undefined && isCandidate(kept))
    return answer(1, 'forward: the session of its client is known', kept.name);
  if (!service.servers.some(isCandidate)) return answer(0, 'drop: no server is up and takes new flows');
  const certain = !packet.opens || service.scheduler === 'maglev' || service.scheduler === 'sh';
  const chosen = certain ? byHash(source, service, packet) : '';
  return packet.opens
    ? answer(4, `select by ${service.scheduler}, forward`, chosen)
    : answer(6, 'opens nothing, and its flow is not known: forward by hash', chosen);
}

function isOf({ vip, protocol, ports }: ServiceSpec, packet: ExplainedPacket): boolean {
  return (
    protocol === packet.protocol &&
    vip.words.every((word, at) => word === packet.vip[at]) &&
    ports.some(([first, last]) => packet.vipPort >= first && packet.vipPort <= last)
  );
}

function readRow(table: TableReader, words: AddressWords, ports: number, meta: number): FlowRow | undefined {
  const [a0, a1, a2, a3] = words;
  const hash = table.hashForward(a0 | 0, a1 | 0, a2 | 0, a3 | 0, ports, meta);
  const row = table.findForward(hash, a0 | 0, a1 | 0, a2 | 0, a3 | 0, ports, meta);
  const into = emptyFlowRow();
  return row !== NO_ROW && table.readRow(row, into) ? into : undefined;
}

function sessionOf(table: TableReader, service: ServiceSpec, client: AddressWords): FlowRow | undefined {
  const [m0, m1, m2, m3] = affinityMask(service);
  const [a0, a1, a2, a3] = client;
  return readRow(table, [a0 & m0!, a1 & m1!, a2 & m2!, a3 & m3!], 0, sessionMeta(service.index));
}

function byHash(source: AloneSource, service: ServiceSpec, packet: ExplainedPacket): string {
  const balancer = new Balancer(source.table, source.clusterKey, 0);
  balancer.apply({ number: source.generation.number, services: [service] });
  const [a0, a1, a2, a3] = packet.client;
  const ports = packPorts(packet.clientPort, packet.vipPort);
  const hash = balancer.keyHash(service.index, a0 | 0, a1 | 0, a2 | 0, a3 | 0, ports);
  const server = balancer.selectByHash(service.index, hash, new ServerMask());
  return server === NO_SERVER ? '' : (service.servers.find((one) => one.index === server)?.name ?? '');
}
