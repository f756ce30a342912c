import type { GapCause } from '../gql'

/** Why bars are missing. */
export const CAUSES: Record<GapCause, string> = {
  PROVIDER_HOLE: 'the provider has none',
  HALT: 'trading was halted',
  NOT_LISTED: 'not listed yet',
  FETCH_FAILED: 'never fetched with success',
  UNKNOWN: 'not known, perhaps there was no trade',
}
