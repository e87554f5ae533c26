// Numbers with the digits that are good: some come as float32, and rounded outwards.

const ALL = 17;

/** A number with so many digits. */
export const rounded = (value, digits) => (digits < ALL ? Number(value.toPrecision(digits)) : value);

/** The least or the greatest value of a bucket whose last one is `last`: that one has more digits. */
export const roundedEnd = (end, last, digits) => rounded(end, end === last ? digits.last : digits.ends);
