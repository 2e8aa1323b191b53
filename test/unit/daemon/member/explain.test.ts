/** What `latchway explain` says is what happens to the packet when it comes. */
import { expect, test } from 'vitest';
import { explainPacket } from '../../../../src/daemon/member/member-views.ts';
import { parseAddress } from '../../../../src/wire/address.ts';
import { Members } from '../../../support/members.ts';
import * as pathPackets from '../../../support/path-packets.ts';
import { request, SYN } from '../../../support/path-packets.ts';

const made = pathPackets.service(0, 4, { lock: 'confirm', affinity: { kind: 'client', prefix: 32 } });
const SERVICE = {
  ...made,
  id: '0000000100000000',
  servers: made.servers.map((server) => ({ ...server, id: `0000006${server.index}00000000` })),
};

function explain(members: Members, index: number, opens: boolean) {
  return explainPacket(
    members.dispatchers[index]!.member,
    {
      protocol: 6,
      client: parseAddress('198.51.100.7')!.words,
      clientPort: 2,
      vip: parseAddress('192.0.2.10')!.words,
      vipPort: 80,
      opens,
    },
    SERVICE,
  );
}

test('the lock of a client is one for each of its flows, until the session has its server', () => {
  const members = new Members(2, [SERVICE]);
  const holder = members.dispatchers[0]!.member.node.core.context.self;
  members.isLost = ({ from }) => from === 1;
  members.give(0, request(4, { sourcePort: 1, flags: SYN, sequence: 100 }));
  members.run(2);
  expect(explain(members, 0, true)).toMatchObject({ rule: 3 });
  expect(explain(members, 1, true)).toMatchObject({ rule: 2, dispatcher: holder });
  expect(explain(members, 1, false)).toMatchObject({ rule: 6 });
  members.isLost = () => false;
  members.run(10);
  for (const index of [0, 1]) expect(explain(members, index, true)).toMatchObject({ rule: 1 });
});
