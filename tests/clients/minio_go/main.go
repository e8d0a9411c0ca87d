// The script of test_differential.py with minio-go, which sends its checksums in signed trailers.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const partSize = 5 << 20

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func transport(bundle string) http.RoundTripper {
	made, err := minio.DefaultTransport(bundle != "")
	must(err)
	if bundle != "" {
		pool := x509.NewCertPool()
		text, err := os.ReadFile(bundle)
		must(err)
		pool.AppendCertsFromPEM(text)
		made.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return made
}

func main() {
	bucket, files, back := os.Args[1], os.Args[2], os.Args[3]
	address, err := url.Parse(os.Getenv("AWS_ENDPOINT_URL"))
	must(err)
	through := transport(os.Getenv("AWS_CA_BUNDLE"))
	client, err := minio.New(address.Host, &minio.Options{
		Creds:           credentials.NewStaticV4(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
		Secure:          address.Scheme == "https",
		Region:          "us-east-1",
		Transport:       through,
		TrailingHeaders: true,
	})
	must(err)
	ctx := context.Background()

	put := func(key, name string, checksum minio.ChecksumType) {
		data, err := os.ReadFile(filepath.Join(files, name))
		must(err)
		_, err = client.PutObject(ctx, bucket, key, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{
			ContentType:  "text/plain",
			UserMetadata: map[string]string{"colour": "blue"},
			PartSize:     partSize,
			Checksum:     checksum,
		})
		must(err)
	}
	put("small.txt", "small.txt", minio.ChecksumCRC32C)
	put("empty", "empty", minio.ChecksumSHA256)
	put("sub/a b+ü%.dat", "sub/a b+ü%.dat", minio.ChecksumCRC64NVME)
	put("big.bin", "big.bin", minio.ChecksumCRC32C)
	put("gone", "small.txt", minio.ChecksumCRC32)
	must(client.RemoveObject(ctx, bucket, "gone", minio.RemoveObjectOptions{}))
	_, err = client.CopyObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: "copied"},
		minio.CopySrcOptions{Bucket: bucket, Object: "small.txt"})
	must(err)
	for found := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		must(found.Err)
		must(client.FGetObject(ctx, bucket, found.Key, filepath.Join(back, found.Key), minio.GetObjectOptions{Checksum: true}))
	}
	link, err := client.PresignedGetObject(ctx, bucket, "sub/a b+ü%.dat", time.Minute, nil)
	must(err)
	answer, err := (&http.Client{Transport: through}).Get(link.String())
	must(err)
	defer answer.Body.Close()
	fetched, err := io.ReadAll(answer.Body)
	must(err)
	wanted, err := os.ReadFile(filepath.Join(files, "sub/a b+ü%.dat"))
	must(err)
	if !bytes.Equal(fetched, wanted) {
		must(fmt.Errorf("by URL: %d bytes, status %d", len(fetched), answer.StatusCode))
	}
}
