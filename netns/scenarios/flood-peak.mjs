/** The most that dispatchers of a cluster had and said while somebody looked, again and again. */
import { askSocket } from '../control-socket.mjs';

export class FloodPeak {
  used = 0;
  locks = 0;
  waiting = 0;
  /** Looks at which a dispatcher said `flood` of itself, of others, and of a peer. */
  floodHere = 0;
  floodElsewhere = 0;
  peersFlooding = 0;
  looks = 0;

  /** @param {import('./cluster-lab.mjs').ClusterLab} bed */
  constructor(bed) {
    this.bed = bed;
  }

  async look() {
    this.looks++;
    for (const { socket } of [...this.bed.dispatchers.running.values()]) {
      const { cluster, table } = await askSocket(socket, '/status');
      this.used = Math.max(this.used, table.used);
      this.locks = Math.max(this.locks, cluster.locks);
      this.waiting = Math.max(this.waiting, cluster.waitingPackets);
      if (cluster.flood) this.floodHere++;
      if (cluster.floodElsewhere.length > 0) this.floodElsewhere++;
      const peers = await askSocket(socket, '/peers');
      if (peers.some((/** @type {any} */ peer) => peer.flooding)) this.peersFlooding++;
    }
  }
}
