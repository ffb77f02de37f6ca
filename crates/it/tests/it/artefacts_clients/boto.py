"""What boto3 does with a bucket, each answer compared. Arguments: endpoint, key, secret, file of the
authority that is trusted, or nothing."""

import hashlib
import io
import os
import sys

import boto3
import botocore.exceptions
import requests
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

endpoint, key, secret, authority = sys.argv[1:]
verify = authority or None
BUCKET = "artefacts"


def connect(key, secret, **more):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="eu-central-1",
        verify=verify,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path", **more},
            retries={"max_attempts": 1},
        ),
    )


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        found = error.response["Error"]["Code"]
        assert found == code, f"{found} instead of {code}"
        return
    raise AssertionError(f"not refused with {code}")


for signs_payload in (False, True):
    s3 = connect(key, secret, payload_signing_enabled=signs_payload)
    base = f"boto/run {signs_payload}+ü"
    body = b"hello world" * 1000
    put = s3.put_object(
        Bucket=BUCKET,
        Key=f"{base}/a.txt",
        Body=body,
        ContentType="text/plain",
        Metadata={"who": "boto"},
        ContentDisposition="attachment",
    )
    md5 = hashlib.md5(body).hexdigest()
    assert put["ETag"] == f'"{md5}"', put
    got = s3.get_object(Bucket=BUCKET, Key=f"{base}/a.txt")
    assert got["Body"].read() == body and got["ContentType"] == "text/plain", got
    assert got["Metadata"] == {"who": "boto"} and got["ContentDisposition"] == "attachment", got
    got = s3.get_object(Bucket=BUCKET, Key=f"{base}/a.txt", Range="bytes=6-10")
    assert got["Body"].read() == b"world" and got["ContentRange"] == f"bytes 6-10/{len(body)}"
    head = s3.head_object(Bucket=BUCKET, Key=f"{base}/a.txt")
    assert head["ContentLength"] == len(body), head
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        name = f"{base}/{algorithm}"
        put = s3.put_object(Bucket=BUCKET, Key=name, Body=io.BytesIO(body), ChecksumAlgorithm=algorithm)
        assert put.get(f"Checksum{algorithm}"), put
        assert s3.get_object(Bucket=BUCKET, Key=name, ChecksumMode="ENABLED")["Body"].read() == body

    large = os.urandom(12 << 20)
    transfer = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    s3.upload_fileobj(io.BytesIO(large), BUCKET, f"{base}/large", Config=transfer)
    head = s3.head_object(Bucket=BUCKET, Key=f"{base}/large")
    assert head["ETag"].endswith('-3"'), head
    back = io.BytesIO()
    s3.download_fileobj(BUCKET, f"{base}/large", back, Config=transfer)
    assert back.getvalue() == large

    for number in range(7):
        s3.put_object(Bucket=BUCKET, Key=f"{base}/deep/{number}", Body=b"x")
    pages = s3.get_paginator("list_objects_v2")
    names = []
    for page in pages.paginate(Bucket=BUCKET, Prefix=f"{base}/deep/", PaginationConfig={"PageSize": 3}):
        names += [entry["Key"] for entry in page["Contents"]]
    assert names == [f"{base}/deep/{number}" for number in range(7)], names
    page = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{base}/", Delimiter="/")
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == [f"{base}/deep/"], page
    assert len(page["Contents"]) == 5, page
    s3.put_object(Bucket=BUCKET, Key=f"{base}/a.txt", Body=b"second")
    versions = s3.list_object_versions(Bucket=BUCKET, Prefix=f"{base}/a.txt")["Versions"]
    assert [entry["IsLatest"] for entry in versions] == [True, False], versions
    old = s3.get_object(Bucket=BUCKET, Key=f"{base}/a.txt", VersionId=versions[1]["VersionId"])
    assert old["Body"].read() == body
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": name} for name in names]})
    s3.delete_object(Bucket=BUCKET, Key=f"{base}/a.txt")
    refused("404", s3.head_object, Bucket=BUCKET, Key=f"{base}/a.txt")
    refused("NoSuchKey", s3.get_object, Bucket=BUCKET, Key=f"{base}/deep/0")
    s3.head_bucket(Bucket=BUCKET)

s3 = connect(key, secret)
link = s3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": "boto/r/link"}, 60)
assert requests.put(link, data=b"by link", verify=verify).status_code == 200
link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "boto/r/link"}, 60)
assert requests.get(link, verify=verify).content == b"by link"
assert requests.put(link, data=b"x", verify=verify).status_code == 403
digest = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
bound = {"Bucket": BUCKET, "Key": "boto/r/bound", "ContentLength": 5, "ChecksumSHA256": digest}
link = s3.generate_presigned_url("put_object", bound, 60)
headers = {"x-amz-checksum-sha256": digest}
if "x-amz-checksum-sha256%3B" in link or "%3Bx-amz-checksum-sha256" in link:
    assert requests.put(link, data=b"hello", headers=headers, verify=verify).status_code == 200
    assert requests.put(link, data=b"hellO", headers=headers, verify=verify).status_code == 400
    assert requests.put(link, data=b"hello!", headers=headers, verify=verify).status_code == 403
    assert requests.put(link, data=b"hello", verify=verify).status_code == 403
else:
    raise AssertionError(f"this botocore binds nothing: {link}")
refused("SignatureDoesNotMatch", connect(key, "other").get_object, Bucket=BUCKET, Key="boto/r/link")
refused("InvalidAccessKeyId", connect("nobody", secret).get_object, Bucket=BUCKET, Key="boto/r/link")
print("well")
