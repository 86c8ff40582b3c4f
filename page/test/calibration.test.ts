import { expect, test } from "vitest";
import { Calibration, densityRank, quantile } from "../src/calibration";
import { expectClose, golden } from "./golden";

const { ages, coverages, distributions, calibrations } = golden.calibration.inputs;

test.each(calibrations.map((values, index) => ({ values, index })))(
  "calibration $index gives Python's ages and intervals",
  ({ values, index }) => {
    const calibration = new Calibration(values);
    const expected = golden.calibration.expected[index]!;
    const rows = distributions.map((row) => calibration.calibrated(row));
    expectClose(rows, expected.calibrated);
    expectClose(rows.map(densityRank), expected.rank);
    expectClose(
      rows.map((row) => quantile(row, ages, 0.5)),
      expected.median,
    );
    const found = coverages.map((coverage) =>
      rows.map((row) => calibration.interval(row, ages, coverage)),
    );
    expectClose(
      found.map((intervals) => intervals.map(({ low, high }) => [low, high])),
      expected.intervals,
    );
  },
);

test("a higher coverage gives no narrower interval", () => {
  const calibration = new Calibration(calibrations[0]);
  for (const row of distributions.map((values) => calibration.calibrated(values))) {
    const [narrow, wide] = [0.5, 0.9].map((coverage) => calibration.interval(row, ages, coverage));
    expect(wide!.low).toBeLessThanOrEqual(narrow!.low);
    expect(wide!.high).toBeGreaterThanOrEqual(narrow!.high);
  }
});
