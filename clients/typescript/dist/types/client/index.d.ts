export { Api, ApiError, type ApiOptions, type RequestOptions, type TokenSource } from "./api.js";
export { Connection, type ConnectionOptions, type ConnectionStatus, type Frame } from "./connection.js";
