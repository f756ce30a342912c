import { Store, useStore } from '../kit/store'

/** `since` is this machine's time, in milliseconds. */
export type Connection = { state: 'connecting' | 'connected' } | { state: 'reconnecting'; since: number }

export const connection = new Store<Connection>({ state: 'connecting' })

export const useConnection = () => useStore(connection)

/** Changes when the service's log has forgotten a place that was followed, or is another: what was read before may be wrong,
 * whatever it is, and is read again. */
export const era = new Store(0)

export const useEra = () => useStore(era)
