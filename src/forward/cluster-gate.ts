/**
 * Where the packet path hands over to the cluster: packets that the local table alone must not decide, and what the path saw of a flow.
 *
 * The path forwards hits by itself and never asks. A dispatcher alone has no gate, and decides everything itself.
 */

export interface ClusterGate {
  /**
   * Takes request `index` of the batch: no entry, a SYN of another connection, an entry that is over, a server that is down under
   * `rebind`, or a packet that another dispatcher tunnelled here. When this returns the packet is on an output list, dropped and counted,
   * or copied away to wait.
   */
  request(index: number): void;
  /** Takes reply `index`, which hits no entry. */
  reply(index: number): void;
  /** The state or flags of a row have changed by a packet. */
  changed(row: number): void;
}
