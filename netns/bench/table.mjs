/**
 * What a bench says at the end: for each measure the kernel's own figure, and each variant's ratio to it.
 *
 * A ratio is taken within each run, between neighbours in time; the table shows the median of these ratios, and how far
 * the runs lie apart: half the way from the smallest to the largest, in per cent of the median.
 */

/**
 * @typedef {import('./measures.mjs').Figures} Figures
 * @typedef {Record<string, Figures[]>} Results figures of each run, by name of variant
 */

/** @param {readonly number[]} values not empty */
export function median(values) {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = /** @type {number} */ (sorted[middle]);
  return sorted.length % 2 === 1 ? upper : (upper + /** @type {number} */ (sorted[middle - 1])) / 2;
}

/** @param {readonly number[]} values */
export function summary(values) {
  const middle = median(values);
  return { median: middle, spread: (Math.max(...values) - Math.min(...values)) / 2 / middle };
}

/** @param {number} value */
function digits(value) {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** @param {readonly number[]} values */
function cell(values) {
  if (values.length === 0) return '-';
  const { median: middle, spread } = summary(values);
  return values.length === 1 ? digits(middle) : `${digits(middle)} ±${Math.round(spread * 100)} %`;
}

/**
 * The ratios of one variant to the base, run by run; runs that lack either are left out.
 * @param {readonly Figures[]} base
 * @param {readonly Figures[]} figures
 * @param {string} key
 */
export function ratios(base, figures, key) {
  return figures.flatMap((one, run) => {
    const value = one[key];
    const reference = base[run]?.[key];
    return value === undefined || reference === undefined || reference === 0 ? [] : [value / reference];
  });
}

/**
 * @param {Results} results
 * @param {readonly import('./variants.mjs').Variant[]} variants the first one is the base
 * @param {readonly import('./measures.mjs').Measure[]} measures
 * @returns {string} markdown
 */
export function markdown(results, variants, measures) {
  const [base, ...others] = variants;
  if (base === undefined) return '';
  const reference = results[base.name] ?? [];
  const lines = [
    `| | ${base.title} | ${others.map((variant) => variant.title).join(' | ')} |`,
    `| --- |${' ---: |'.repeat(variants.length)}`,
  ];
  for (const { key, title, unit } of measures) {
    const own = reference.flatMap((figures) => figures[key] ?? []);
    if (own.length === 0) continue;
    const cells = others.map((variant) => cell(ratios(reference, results[variant.name] ?? [], key)));
    lines.push(`| ${title} | ${cell(own)} ${unit} | ${cells.join(' | ')} |`);
  }
  return lines.join('\n');
}
