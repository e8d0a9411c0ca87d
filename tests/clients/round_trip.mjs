// aws-sdk-js v3: a round trip with streams (trailers), multipart, a conditional write and a presigned PUT.
import assert from "node:assert/strict";
import { createReadStream, createWriteStream, readFileSync, statSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import {
  CopyObjectCommand, CreateBucketCommand, DeleteBucketCommand, DeleteObjectsCommand, GetObjectCommand,
  HeadObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const [source, target] = process.argv.slice(2);
const Bucket = "javascript";
const s3 = new S3Client({ forcePathStyle: true });

await s3.send(new CreateBucketCommand({ Bucket }));
const size = statSync(source).size;
await s3.send(new PutObjectCommand({ Bucket, Key: "streamed", Body: createReadStream(source), ContentLength: size }));
await s3.send(new PutObjectCommand({ Bucket, Key: "a b+ü%", Body: "data", Metadata: { my_key: "ü?" } }));
const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "a b+ü%" }));
assert.ok("my_key" in head.Metadata);
await new Upload({ client: s3, params: { Bucket, Key: "parts", Body: createReadStream(source) }, partSize: 5 << 20 }).done();
const got = await s3.send(new GetObjectCommand({ Bucket, Key: "parts", ChecksumMode: "ENABLED" }));
await pipeline(got.Body, createWriteStream(target));
const streamed = await s3.send(new GetObjectCommand({ Bucket, Key: "streamed" }));
assert.deepEqual(Buffer.from(await streamed.Body.transformToByteArray()), readFileSync(source));

await s3.send(new PutObjectCommand({ Bucket, Key: "once", Body: "1", IfNoneMatch: "*" }));
await assert.rejects(
  s3.send(new PutObjectCommand({ Bucket, Key: "once", Body: "2", IfNoneMatch: "*" })),
  (error) => error.name === "PreconditionFailed" && error.$metadata.httpStatusCode === 412,
);
await s3.send(new CopyObjectCommand({ Bucket, Key: "copied", CopySource: `${Bucket}/${encodeURIComponent("a b+ü%")}` }));
const url = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key: "presigned" }), { expiresIn: 60 });
assert.equal((await fetch(url, { method: "PUT", body: "by url" })).status, 200);
const presigned = await s3.send(new GetObjectCommand({ Bucket, Key: "presigned" }));
assert.equal(await presigned.Body.transformToString(), "by url");

const page = await s3.send(new ListObjectsV2Command({ Bucket }));
assert.deepEqual(page.Contents.map((entry) => entry.Key), ["a b+ü%", "copied", "once", "parts", "presigned", "streamed"]);
await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: page.Contents.map(({ Key }) => ({ Key })) } }));
await s3.send(new DeleteBucketCommand({ Bucket }));
console.log("all went well");
