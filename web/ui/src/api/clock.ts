// The service's clock: market time, which a recorded market has of its own.
import { NowDocument } from '../gql'
import { client } from './client'
import { connection } from './connection'

let ahead = 0

/** In milliseconds, as Date.now(). */
export const serviceNow = () => Date.now() + ahead

export async function setClock() {
  const asked = Date.now()
  const { data } = await client.query(NowDocument, {})
  if (data) ahead = new Date(data.service.now).getTime() - (asked + Date.now()) / 2
}

/** A service that was started again may tell another time. */
connection.follow(() => {
  if (connection.get().state === 'connected') void setClock()
})
