// Makes a container: node make-container.js ENDPOINT ACCOUNT KEY CONTAINER
const crypto = require("node:crypto");
const [endpoint, account, key, container] = process.argv.slice(2);
const url = new URL(`${endpoint}/${container}?restype=container`);
const date = new Date().toUTCString();
const version = "2021-12-02";
const text =
  "PUT" + "\n".repeat(12) + `x-ms-date:${date}\nx-ms-version:${version}\n` +
  `/${account}${url.pathname}\nrestype:container`;
const hmac = crypto.createHmac("sha256", Buffer.from(key, "base64"));
const signature = hmac.update(text, "utf8").digest("base64");
fetch(url, {
  method: "PUT",
  headers: {
    "x-ms-date": date,
    "x-ms-version": version,
    Authorization: `SharedKey ${account}:${signature}`,
  },
}).then(async (answer) => {
  if (answer.status !== 201 && answer.status !== 409) {
    console.error(answer.status, await answer.text());
    process.exit(1);
  }
});
