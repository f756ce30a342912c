import { Store, useStore } from '../kit/store'

/** `since` is this machine's time, in milliseconds. */
export type Connection = { state: 'connecting' | 'connected' } | { state: 'reconnecting'; since: number }

export const connection = new Store<Connection>({ state: 'connecting' })

export const useConnection = () => useStore(connection)
