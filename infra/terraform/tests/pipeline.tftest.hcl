# What the variables decide, without an account: `terraform test`. The provider is the real one, because it
# renders the policies, but nothing is asked of AWS: plans of new resources need no answer.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "testing"
  secret_key                  = "testing"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.here
  values = { account_id = "123456789012" }
}

variables {
  bucket_name = "retail-medallion-test"
}

run "first_apply_trusts_nobody" {
  command = plan

  assert {
    condition = alltrue([
      for role in [aws_iam_role.snowflake_integration_role, aws_iam_role.snowflake_errors] :
      [for s in jsondecode(role.assume_role_policy).Statement : s.Effect] == ["Deny"]
    ])
    error_message = "Somebody may assume a role of Snowflake's before Snowflake is known."
  }

  assert {
    condition     = output.snowflake_is_trusted == false
    error_message = "The output says that Snowflake is trusted."
  }
}

run "second_apply_trusts_snowflake_with_its_external_id" {
  command = plan

  variables {
    snowflake_principal_arn = "arn:aws:iam::210987654321:user/abc1-b-self1234"
    snowflake_external_id   = "RETAIL_SFCRole=2_abc="
  }

  assert {
    condition = jsondecode(aws_iam_role.snowflake_integration_role.assume_role_policy).Statement == [{
      Sid       = "SnowflakeWithItsExternalId"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = "arn:aws:iam::210987654321:user/abc1-b-self1234" }
      Condition = { StringEquals = { "sts:ExternalId" = "RETAIL_SFCRole=2_abc=" } }
    }]
    error_message = "The trust is another one than Snowflake's user with the external id."
  }

  assert {
    condition     = jsondecode(aws_iam_role.snowflake_errors.assume_role_policy).Statement[0].Effect == "Deny"
    error_message = "The role for errors has no external id yet, and is open all the same."
  }
}

run "owner_s_names_and_defaults" {
  command = plan

  assert {
    condition     = aws_glue_job.glue_cleaner.name == "retail_glue_cleaner" && aws_glue_job.glue_cleaner.glue_version == "5.1"
    error_message = "The job is not retail_glue_cleaner on Glue 5.1."
  }

  assert {
    condition     = aws_glue_job.glue_cleaner.execution_class == "STANDARD" && aws_glue_job.glue_cleaner.execution_property[0].max_concurrent_runs == 1
    error_message = "The job is not one standard run at a time."
  }

  assert {
    condition = (
      aws_glue_job.glue_cleaner.default_arguments["--additional-python-modules"] == "numba==0.68.1,llvmlite==0.50.0" &&
      !contains(keys(aws_glue_job.glue_cleaner.default_arguments), "--python-modules-installer-option")
    )
    error_message = "The job does not ask for the compiler that fits Glue 5.1."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.retail.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "The bucket is not encrypted with AES-256."
  }

  assert {
    condition     = length(aws_s3_bucket_logging.retail) + length(aws_kinesis_firehose_delivery_stream.purchases) + length(aws_sns_topic_subscription.alerts) == 0
    error_message = "Something optional is there that nobody asked for."
  }
}

run "switches" {
  command = plan

  variables {
    name              = "shop-eu"
    region            = "eu-central-1"
    glue_flex         = true
    start_on_arrival  = false
    sweep             = false
    firehose          = true
    access_log_bucket = "logs.of.the.account"
    bucket_encryption = "aws:kms"
    alert_email       = "data@example.com"
    queue_age_minutes = 30

    glue_python_modules = "s3://wheels.of.the.account/cleaner-1.0.gluewheels.zip"
  }

  assert {
    condition     = aws_glue_job.glue_cleaner.default_arguments["--python-modules-installer-option"] == "--no-index"
    error_message = "A job with its own wheels looks for an index."
  }

  assert {
    condition = endswith(
      jsondecode(one(aws_iam_role_policy.wheels).policy).Statement[0].Resource,
      ":s3:::wheels.of.the.account/cleaner-1.0.gluewheels.zip"
    )
    error_message = "The job may not read its wheels."
  }

  assert {
    condition     = aws_glue_job.glue_cleaner.name == "shop_eu_glue_cleaner" && aws_glue_job.glue_cleaner.execution_class == "FLEX"
    error_message = "Name or Flex is not what was asked for."
  }

  assert {
    condition     = !aws_glue_trigger.arrivals.enabled && !aws_glue_trigger.sweep.enabled && aws_cloudwatch_event_rule.arrivals.state == "DISABLED"
    error_message = "A start that was switched off is on."
  }

  assert {
    condition     = length(aws_s3_bucket_logging.retail) == 1 && length(aws_kinesis_firehose_delivery_stream.purchases) == 1 && length(aws_sns_topic_subscription.alerts) == 1
    error_message = "Something is missing that was asked for."
  }

  assert {
    condition     = contains(keys(aws_cloudwatch_metric_alarm.retail), "queue-age")
    error_message = "There is no alarm for the age of the queue."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.retail.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    error_message = "The bucket is not encrypted with the key."
  }
}

run "package_must_be_there" {
  command = plan

  variables {
    package_path = "nowhere.zip"
  }

  expect_failures = [aws_s3_object.package]
}

run "what_the_services_documents_ask_for" {
  command = plan

  variables {
    region = "eu-central-1"
  }

  assert {
    condition     = aws_glue_job.glue_cleaner.default_arguments["--conf"] == "spark.hadoop.fs.s3a.endpoint.region=eu-central-1"
    error_message = "S3A would look for the bucket in its default region."
  }

  assert {
    condition = anytrue([
      for rule in aws_s3_bucket_lifecycle_configuration.retail.rule :
      rule.filter[0].prefix == "tmp/" && one(rule.noncurrent_version_expiration[*].noncurrent_days) == 1
    ])
    error_message = "What was deleted from tmp/ would stay as an old version."
  }
}
