// The script of test_differential.py with aws-sdk-js v3.
import { createReadStream, createWriteStream, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import {
  CopyObjectCommand, DeleteObjectCommand, GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";

const [Bucket, files, back] = process.argv.slice(2);
const s3 = new S3Client({ forcePathStyle: true });
const described = { ContentType: "text/plain", Metadata: { colour: "blue" } };

for (const [Key, name] of [
  ["small.txt", "small.txt"], ["empty", "empty"], ["sub/a b+ü%.dat", "sub/a b+ü%.dat"], ["gone", "small.txt"],
]) {
  await s3.send(new PutObjectCommand({ Bucket, Key, Body: readFileSync(join(files, name)), ...described }));
}
const big = { Bucket, Key: "big.bin", Body: createReadStream(join(files, "big.bin")), ...described };
await new Upload({ client: s3, params: big, partSize: 5 << 20 }).done();
await s3.send(new DeleteObjectCommand({ Bucket, Key: "gone" }));
await s3.send(new CopyObjectCommand({ Bucket, Key: "copied", CopySource: `${Bucket}/small.txt` }));
for (const { Key } of (await s3.send(new ListObjectsV2Command({ Bucket }))).Contents) {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
  mkdirSync(dirname(join(back, Key)), { recursive: true });
  await pipeline(Body, createWriteStream(join(back, Key)));
}
