output "variables" {
  description = "Variables of the repository, for deploy.yml."
  value = {
    AWS_REGION      = var.region
    TF_STATE_BUCKET = aws_s3_bucket.state.bucket
    LAKE_BUCKET     = var.lake_bucket
    AWS_PLAN_ROLE   = aws_iam_role.deploy["plan"].arn
    AWS_APPLY_ROLE  = aws_iam_role.deploy["apply"].arn
  }
}
