import { expect, test } from 'vitest';
import { cpuMask } from '../../../../src/daemon/host/device.ts';

test('CPUs are named to the kernel in words of 32 bits, the highest first', () => {
  expect(cpuMask(1)).toBe('00000001');
  expect(cpuMask(2)).toBe('00000003');
  expect(cpuMask(31)).toBe('7fffffff');
  expect(cpuMask(32)).toBe('ffffffff');
  expect(cpuMask(33)).toBe('00000001,ffffffff');
  expect(cpuMask(64)).toBe('ffffffff,ffffffff');
});
