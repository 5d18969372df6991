# For whoever sends events: attach this policy to the till's or the simulator's own role.

resource "aws_iam_policy" "producer" {
  name        = "${var.name}-producer"
  description = "Writes new objects under raw/ of ${var.bucket_name}, and nothing else"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid      = "WriteRaw"
      Effect   = "Allow"
      Action   = ["s3:PutObject"]
      Resource = "${local.bucket_arn}/raw/*"
    }], local.kms_writes)
  })
}
