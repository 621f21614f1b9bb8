import { describe, expect, it } from "vitest";
import { compact, gain, group, market, micros, money, NONE, quantity, recorded, signed, tone } from "./format.ts";

describe("numbers as a trader reads them", () => {
  it("groups thousands and writes a real minus", () => {
    expect(group("1234567.891")).toBe("1,234,567.891");
    expect(group("-1000")).toBe("−1,000");
  });

  it("shows money in its precision and nothing as a dash", () => {
    expect(money("257207.1883023783500000")).toBe("257,207.19");
    expect(money(null)).toBe(NONE);
    expect(signed("0.004")).toBe("0.00");
    expect(signed("-0.001")).toBe("0.00");
    expect(signed("12.5")).toBe("+12.50");
  });

  it("never shows less of a quantity than there is", () => {
    expect(quantity("0.00166669", 5)).toBe("0.00166669");
    expect(quantity("0.00166000", 5)).toBe("0.00166");
    expect(quantity("2", 3)).toBe("2.000");
  });

  it("shows market numbers in the precision of the tick", () => {
    expect(market(60066.8, 2)).toBe("60,066.80");
    expect(market(null, 2)).toBe(NONE);
    expect(market(Number.NaN, 2)).toBe(NONE);
    expect(compact(12_345_678)).toBe("12.35M");
  });

  it("says durations in the unit that fits", () => {
    expect([640, 3_700, 85_000, 1_200_000].map(micros)).toEqual(["640 µs", "3.7 ms", "85 ms", "1.2 s"]);
  });

  it("shortens what floats wrote down, and nothing else", () => {
    const texts = ["78.47113074225254", "-0.000012345678912", "1.2345678e-05", "0.07712280", "60232.09", "False", "BUY"];
    expect(texts.map(recorded)).toEqual(["78.4711", "−0.000012346", "0.000012346", "0.07712280", "60232.09", "no", "BUY"]);
  });

  it("colours by sign", () => {
    expect(["1", "-0.01", "0.00", null].map(tone)).toEqual(["up", "down", "flat", "flat"]);
    expect(["0.004", "-0.004", "-0.005", null].map((value) => gain(value))).toEqual(["flat", "flat", "down", "flat"]);
  });
});
