/**
 * What a scenario has found: claims that hold or not, each with its figures, said as they are made.
 */

export class Verdict {
  /** @param {(line: string) => void} [say] */
  constructor(say = () => {}) {
    this.say = say;
    /** @type {{ claim: string, holds: boolean, figures: string }[]} */
    this.claims = [];
  }

  /** Whether every claim held, and there was one. */
  get holds() {
    return this.claims.length > 0 && this.claims.every((claim) => claim.holds);
  }

  /** Claims that did not hold, a line each. */
  get broken() {
    return this.claims.filter(({ holds }) => !holds).map(({ claim, figures }) => `${claim}: ${figures}`);
  }

  /**
   * @param {string} claim
   * @param {boolean} holds
   * @param {string | object} figures
   */
  claim(claim, holds, figures) {
    const text = typeof figures === 'string' ? figures : JSON.stringify(figures);
    this.claims.push({ claim, holds, figures: text });
    this.say(`  ${holds ? 'holds ' : 'BROKEN'}  ${claim}: ${text}`);
    return holds;
  }
}
