/** A question to a dispatcher's control socket, without the half second of a new process that a command takes. */
import { request } from 'node:http';

/**
 * @param {string} socketPath
 * @param {string} path such as `/status`
 * @returns {Promise<any>} the answer, read; rejects when nobody answers, or not as asked
 */
export function askSocket(socketPath, path) {
  return new Promise((resolve, reject) => {
    // A connection of its own: one that is kept may be closed by the daemon just when it is used again.
    const asked = request({ socketPath, path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (data) => {
        text += data;
      });
      response.on('end', () => {
        try {
          if (response.statusCode === 200) resolve(JSON.parse(text));
          else reject(new Error(text));
        } catch (error) {
          reject(error);
        }
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}
