/** Numbers of attempts: they come round, and questions have others. */

import { describe, expect, it } from 'vitest';
import { isLater, numberAfter, QUESTION_BIT } from '../../../src/cluster/identity.ts';

const LAST = 0x7fffffff;

describe('numbers', () => {
  it('go from 1 to 2^31 - 1 and come round', () => {
    expect(numberAfter(0)).toBe(1);
    expect(numberAfter(LAST - 1)).toBe(LAST);
    expect(numberAfter(LAST)).toBe(1);
  });

  it('are later or earlier also where they come round', () => {
    expect(isLater(2, 1)).toBe(true);
    expect(isLater(1, 2)).toBe(false);
    expect(isLater(7, 7)).toBe(false);
    expect(isLater(1, LAST)).toBe(true);
    expect(isLater(LAST, 1)).toBe(false);
  });

  it('of questions are no numbers of attempts', () => {
    expect((QUESTION_BIT + LAST) >>> 0).toBe(QUESTION_BIT + LAST);
    expect(QUESTION_BIT + 1).toBeGreaterThan(LAST);
  });
});
