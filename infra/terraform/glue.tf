# What the cleaner runs on: its code and its logs. The job and its role are in main.tf, what starts it in
# starts.tf.

locals {
  log_prefix = "/aws-glue/jobs/${local.job_name}"
  log_groups = ["${local.log_prefix}/error", "${local.log_prefix}/output"]
  log_arn    = "arn:${local.partition}:logs:${var.region}:${local.account}:log-group"

  package = coalesce(var.package_path, "${path.module}/../../build/medallion.zip")
  script  = "${path.module}/../../src/glue/glue_job_cleaner.py"
}

# --- code: uploaded when its bytes change -----------------------------------------------------------

resource "aws_s3_object" "script" {
  #checkov:skip=CKV_AWS_186:Encrypted as the bucket says; see aws_s3_bucket.retail_bucket.
  bucket      = aws_s3_bucket.retail_bucket.bucket
  key         = local.script_key
  source      = local.script
  source_hash = filemd5(local.script)

  depends_on = [aws_s3_bucket_server_side_encryption_configuration.retail, aws_s3_bucket_versioning.retail]
}

resource "aws_s3_object" "package" {
  #checkov:skip=CKV_AWS_186:Encrypted as the bucket says; see aws_s3_bucket.retail_bucket.
  bucket      = aws_s3_bucket.retail_bucket.bucket
  key         = local.package_key
  source      = local.package
  source_hash = fileexists(local.package) ? filemd5(local.package) : null

  depends_on = [aws_s3_bucket_server_side_encryption_configuration.retail, aws_s3_bucket_versioning.retail]

  lifecycle {
    precondition {
      condition     = fileexists(local.package)
      error_message = "The job's package is missing: run `python src/glue/package.py build/medallion.zip` in the project's root."
    }
  }
}

# --- logs -------------------------------------------------------------------------------------------

resource "aws_cloudwatch_log_group" "glue_cleaner" {
  #checkov:skip=CKV_AWS_338:How long is the owner's choice (log_days, 90 by default).
  for_each = toset(local.log_groups)

  name              = each.key
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.retail.arn
}
