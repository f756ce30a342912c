// Numbers as people read them. Prices come as exact decimals in text, and are only ever rounded here.

/** A price in its currency, with as many digits as its size asks for. */
export function price(amount: string | null | undefined, currency: string): string {
  if (amount == null) return '–'
  return money(amount, currency, digitsOf(Number(amount)))
}

export function digitsOf(price: number): number {
  const size = Math.abs(price)
  return size === 0 || size >= 10 ? 2 : size >= 0.1 ? 4 : 8
}

export function money(amount: string, currency: string, digits = 2): string {
  const format = { minimumFractionDigits: Math.min(digits, 4), maximumFractionDigits: digits } as const
  const asCurrency = { ...format, style: 'currency', currency, currencyDisplay: 'narrowSymbol' } as const
  try {
    return new Intl.NumberFormat(undefined, asCurrency).format(Number(amount))
  } catch {
    return `${new Intl.NumberFormat(undefined, format).format(Number(amount))} ${currency}` // no ISO currency: a coin
  }
}

/** Prices without their currency, all with the digits that one of this size asks for. */
export function figureOf(size: number) {
  const digits = digitsOf(size)
  const format = new Intl.NumberFormat(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits })
  return (price: number) => format.format(price)
}

export const count = (number: number) => new Intl.NumberFormat().format(number)

/** Of a share from 0 to 1. */
export const percent = (share: number, digits = 1) =>
  new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: digits }).format(share)

/** `1 symbol`, `3 symbols`. */
export const many = (number: number, thing: string) => `${count(number)} ${thing}${number === 1 ? '' : 's'}`

/** FETCHING_PRICES → `fetching prices`. */
export const words = (constant: string) => constant.toLowerCase().replaceAll('_', ' ')
